"""The ``task`` section of sentence vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, StrictBool, field_validator

from distill.section import Issues, PositiveInt, Section
from distill.tasks.config import UnnamedOutputs

if TYPE_CHECKING:
    from distill.recipe.schema import Recipe


class Prompts(Section):
    """What is put before a text, by what it is for; both go before texts of one kind too."""

    query: str = ""
    """Before ``data.columns.text``, and at inference unless another is asked for."""
    passage: str = ""
    """Before ``data.columns.text_pair``."""


class VectorsTask(UnnamedOutputs):
    """A vector for each text, whose cosines say how alike texts are."""

    gives_vectors: ClassVar[bool] = True
    targets: ClassVar[tuple[str, ...]] = ("vectors",)
    not_augmented: ClassVar[str] = (
        "makes examples for labels; vectors learn from any texts: add some to data.train"
    )

    kind: Literal["vectors"]
    metric: Literal["spearman", "pearson", "ndcg@10", "mrr@10", "recall@10"] = "spearman"
    """What is reported and what chooses the best checkpoint: a correlation between the cosines of
    pairs and their similarities in the data, or how well each query (``data.columns.text``) finds
    its passages (``text_pair``, labelled above 0, or not labelled) among all passages of the split.
    """
    pooling: Literal["mean", "cls"] = "mean"
    """What a vector is made of: the ``mean`` of the tokens' last hidden states, or the first's."""
    normalize: StrictBool = True
    """Whether a bundle gives vectors of length 1; the score does not hang on it."""
    matryoshka: list[PositiveInt] = Field(default_factory=list)
    """Widths at which vectors cut at the front are good too: every objective on vectors, and the
    training on scores, learns them beside the full width, and each is scored."""
    prompts: Prompts | None = None
    """What is put before texts, such as ``{query: "query: ", passage: "passage: "}``."""
    keep_projection: StrictBool = False
    """Whether the student ends in a Linear layer to the width of the teacher's vectors, so that its
    vectors lie in the teacher's space: queries by the student, documents by the teacher."""
    whitening: PositiveInt | None = None
    """Whiten the bundle's vectors, keeping so many dimensions (Su et al. 2021); the export tells
    what that does to the score."""

    @property
    def retrieves(self) -> bool:
        """Whether pairs are queries and passages, and not two sentences that are alike."""
        return "@" in self.metric

    @field_validator("matryoshka")
    @classmethod
    def _distinct(cls, widths: list[int]) -> list[int]:
        if len(set(widths)) != len(widths):
            raise ValueError("a width stands in the list twice")
        return sorted(widths, reverse=True)

    def issues(self, recipe: Recipe, hidden: int | None) -> Issues:
        if recipe.data.columns.text_pair is None:
            yield (
                ("data", "columns", "text_pair"),
                "missing; vectors are scored on pairs of texts: name the second text's column "
                "(training examples may lack it)",
            )
        if recipe.teacher.more:
            reason = "vectors of several teachers point in unlike directions and have no average"
            yield ("teacher", "more"), f"{reason}; leave them out"
        if recipe.teacher.labels is not None:
            yield ("teacher", "labels"), "vectors have no labels; leave it out"
        if self.keep_projection:
            yield from self._projection(recipe)
        elif self.matryoshka and hidden is not None and self.matryoshka[0] >= hidden:
            yield (
                ("task", "matryoshka"),
                f"{self.matryoshka[0]} dimensions of vectors that have {hidden}; write fewer",
            )
        if self.matryoshka and self.whitening is not None:
            yield (
                ("task", "matryoshka"),
                "whitening turns vectors, and their front is another then; leave one of both out",
            )
        if self.whitening is not None and hidden is not None:
            yield from self._whitening(self.whitening, recipe, hidden)
        yield from super().issues(recipe, hidden)

    def _projection(self, recipe: Recipe) -> Issues:
        loc = ("task", "keep_projection")
        if self.whitening is not None:
            yield loc, "whitening turns vectors out of the teacher's space; leave one of both out"
        if not recipe.student.has_layers:
            yield (
                loc,
                "a static student has none: make student.dim as wide as the teacher's vectors",
            )
        learned = [o.kind for s in recipe.stages for o in getattr(s, "objectives", ())]
        if "vector" not in learned:
            message = (
                "only the objective `vector` brings vectors to the teacher's; add it to a stage"
            )
            yield loc, f"{message}, or leave this out"

    def _whitening(self, whitening: int, recipe: Recipe, width: int) -> Issues:
        for stage in recipe.stages:
            if stage.kind == "prune":
                width = stage.width_left(width)
        if whitening > width:
            yield (
                ("task", "whitening"),
                f"{whitening} dimensions of vectors that have {width}; write {width} or fewer",
            )
        if not any(stage.kind == "export" for stage in recipe.stages):
            yield ("task", "whitening"), "the bundle holds it; add {kind: export}, or leave it out"

    def unfit(self) -> Mapping[str, str]:
        reason = "compares labels, which vectors have not; take similarity or vector"
        return dict.fromkeys(("logits", "decoupled", "standardized"), reason)


CONFIG = VectorsTask
