"""The ``task`` section of named entities."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from distill.section import Issues
from distill.tasks.config import NamedLabels

if TYPE_CHECKING:
    from distill.recipe.schema import Recipe

#: Special tokens of a window, as BERT has them.
_SPECIAL = 2
_PREFIXES = {"bio": "BI", "bioes": "BIES"}


class NerTask(NamedLabels):
    """Named entities: a tag for each word."""

    columns: ClassVar[tuple[str, ...]] = ("tokens", "tags", "id")
    of_tokens: ClassVar[bool] = True
    not_builtin: ClassVar[str] = "entities"
    not_augmented: ClassVar[str] = (
        "replaces words, after which tags no longer stand where they did; leave it out"
    )

    kind: Literal["ner"]
    labels: Annotated[list[StrictStr], Field(min_length=1)] | None = None
    """The tags in the order of their integers (``O``, ``B-person``, ``I-person``, ...), or the
    types of entities alone (``person``); left out, they come from the data."""
    scheme: Literal["bio", "bioes"] = "bio"
    """How the data's tags mark entities: ``B-``, ``I-`` and ``O``, or with ``E-`` for the last word
    and ``S-`` for a single one. The model learns the same."""
    metric: Literal["f1", "macro_f1", "precision", "recall", "lenient_f1"] = "f1"
    """What is reported and what chooses the best checkpoint: of entities that are right to the
    character. ``lenient_f1`` reads illegal sequences of tags as ``conlleval`` does, and then the
    exported model does so too; the others leave them out."""
    repair: StrictBool = False
    """Whether illegal sequences of tags in the data (an ``I-`` that nothing begins) are read as
    ``conlleval`` does, and told; otherwise they are a mistake."""
    stride: Annotated[StrictInt, Field(ge=0)] | None = None
    """Tokens that neighbouring windows of a long text share; left out, a quarter of
    ``data.max_length``."""

    def issues(self, recipe: Recipe, hidden: int | None) -> Issues:
        data = recipe.data
        if self.stride is not None and self.stride >= data.max_length - _SPECIAL:
            yield (
                ("task", "stride"),
                f"windows of {data.max_length} tokens ({_SPECIAL} of them special) cannot share "
                f"{self.stride}; write less, or raise data.max_length",
            )
        yield from self._labels()
        yield from super().issues(recipe, hidden)

    def _labels(self) -> Issues:
        labels = self.labels or []
        if not any(label == "O" or re.match("[BIES]-.", label) for label in labels):
            return
        prefixes = _PREFIXES[self.scheme]
        for index, label in enumerate(labels):
            if label != "O" and not re.match(f"[{prefixes}]-.", label):
                known = ", ".join(f"{prefix}-TYPE" for prefix in prefixes)
                yield (
                    ("task", "labels", index),
                    f"'{label}' is no tag of the scheme {self.scheme} ({known} or O)",
                )

    def teacher_labels_fit(self, labels: list[str]) -> bool:
        return True  # they may be types of entities alone


CONFIG = NerTask
