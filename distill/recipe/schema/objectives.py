"""What a distill stage matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, cast, get_args

from pydantic import ConfigDict, Field, model_validator

from distill.section import PositiveInt, Section, Weight

if TYPE_CHECKING:
    from distill.tasks.config import TaskSection

LayerPair = Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]


class WeightSchedule(Section):
    """A weight that goes from one value to another in a line, and is constant before and after."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: Annotated[float, Field(ge=0, alias="from")]
    """The weight until ``start``."""
    to: Annotated[float, Field(ge=0)]
    """The weight from ``end`` on."""
    start: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the training's optimiser steps at which it begins to move."""
    end: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the training's optimiser steps at which it arrives."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start >= self.end:
            raise ValueError("start comes before end")
        if self.from_ == self.to:
            raise ValueError("from and to are the same; write one number")
        return self

    def at(self, progress: float) -> float:
        """The weight when a share of the training's optimiser steps is done."""
        done = (progress - self.start) / (self.end - self.start)
        return self.from_ + (self.to - self.from_) * min(1.0, max(0.0, done))


class ObjectiveConfig(Section):
    """Base of the objectives: one loss over signals."""

    signals: ClassVar[frozenset[str]] = frozenset()
    """What of student and teacher is compared."""
    of_vectors: ClassVar[bool] = False
    """Whether it compares sentence vectors, which only ``task: {kind: vectors}`` has."""
    weight: Weight | WeightSchedule = 1.0
    """Factor of this loss in the sum; ``{from: 0, to: 1, start: 0, end: 0.5}`` moves it."""
    kind: str

    @property
    def mapped(self) -> bool:
        """Whether it compares the layers that the stage's layer map pairs."""
        return bool(self.signals & {"attention", "hidden", "queries"})

    @property
    def same_tokens(self) -> bool:
        """Whether teacher and student must read the same tokens; logits do not need that."""
        return self.signals != frozenset({"logits"})


class EmbeddingObjective(ObjectiveConfig):
    """Mean squared error between the embedding outputs (TinyBERT eq. 9)."""

    signals: ClassVar[frozenset[str]] = frozenset({"embedding"})
    kind: Literal["embedding"]


class AttentionObjective(ObjectiveConfig):
    """Attention at mapped layers, head by head: scores before the softmax (TinyBERT eq. 7)."""

    signals: ClassVar[frozenset[str]] = frozenset({"attention"})
    kind: Literal["attention"]
    on: Literal["scores", "probabilities"] = "scores"
    """``scores`` before the softmax, or ``probabilities`` after it."""
    loss: Literal["mse", "kl"] | None = None
    """Left out: ``mse`` for scores and ``kl`` for probabilities, which may take ``mse`` too."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.on == "scores" and self.loss == "kl":
            raise ValueError("kl compares distributions; write `on: probabilities`, or `loss: mse`")
        return self


class HiddenObjective(ObjectiveConfig):
    """Mean squared error between hidden states at mapped layers (TinyBERT eq. 8)."""

    signals: ClassVar[frozenset[str]] = frozenset({"hidden"})
    kind: Literal["hidden"]


class LogitsObjective(ObjectiveConfig):
    """Soft cross-entropy between teacher and student logits (TinyBERT eq. 10)."""

    signals: ClassVar[frozenset[str]] = frozenset({"logits"})
    kind: Literal["logits"]
    loss: Literal["soft_ce", "kl", "mse", "margin_mse"] | None = None
    """``soft_ce`` and ``kl`` have the same gradient; ``mse`` matches raw logits, ``margin_mse`` the
    differences of two candidates' (ranking only). Left out: ``soft_ce``, and ``mse`` for regression
    and ranking."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Both sides' logits are divided by it; the loss is multiplied by its square."""
    hard_weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the cross-entropy with the true label in this loss."""


class RelationsObjective(ObjectiveConfig):
    """Relations among queries, among keys and among values (MiniLMv2); any widths and heads."""

    signals: ClassVar[frozenset[str]] = frozenset({"queries", "keys", "values"})
    kind: Literal["relations"]
    relation_heads: PositiveInt | None = None
    """Parts that both widths are divided into; left out, the most up to 48 that divide both."""
    layer: LayerPair | None = None
    """[student, teacher], counted from 1; left out, the last pair of the layer map."""

    @property
    def mapped(self) -> bool:
        """Unless the pair of layers is stated."""
        return self.layer is None


class CosineObjective(ObjectiveConfig):
    """Direction of the last layers' hidden states (DistilBERT)."""

    signals: ClassVar[frozenset[str]] = frozenset({"hidden"})
    kind: Literal["cosine"]

    @property
    def mapped(self) -> bool:
        """Never: the last layers are compared."""
        return False


class ClsObjective(ObjectiveConfig):
    """Direction of the first token's hidden states at mapped layers (PKD)."""

    signals: ClassVar[frozenset[str]] = frozenset({"hidden"})
    kind: Literal["cls"]


class DecoupledObjective(ObjectiveConfig):
    """Decoupled distillation of logits (DKD); three classes or more."""

    signals: ClassVar[frozenset[str]] = frozenset({"logits"})
    kind: Literal["decoupled"]
    alpha: Annotated[float, Field(ge=0)] = 1.0
    """Factor of the part on the true class against all others together."""
    beta: Annotated[float, Field(ge=0)] = 8.0
    """Factor of the part on the other classes among themselves."""
    temperature: Annotated[float, Field(gt=0)] = 4.0
    """Both sides' logits are divided by it; the loss is multiplied by its square."""


class StandardizedObjective(ObjectiveConfig):
    """KL between logits of which each row has mean 0 and variance 1; three classes or more."""

    signals: ClassVar[frozenset[str]] = frozenset({"logits"})
    kind: Literal["standardized"]
    temperature: Annotated[float, Field(gt=0)] = 2.0
    """Standardised logits are divided by it; the loss is multiplied by its square."""


class MlmObjective(ObjectiveConfig):
    """Cross-entropy of the student on masked tokens, with ``task: {kind: text}`` only.

    The student gets a masked-language head, and student and teacher read the same masked text.
    """

    signals: ClassVar[frozenset[str]] = frozenset({"mlm"})
    kind: Literal["mlm"]


class _OfVectors(ObjectiveConfig):
    """Base of what compares sentence vectors, for ``task: {kind: vectors}``."""

    signals: ClassVar[frozenset[str]] = frozenset({"logits"})
    of_vectors: ClassVar[bool] = True


class SimilarityObjective(_OfVectors):
    """How alike the sentences of a batch are: the matrix of their cosines; any widths."""

    kind: Literal["similarity"]


class VectorObjective(_OfVectors):
    """The sentence vectors themselves; where the widths differ, through a learned projection.

    The projection is part of the student with ``task.keep_projection`` alone: without, a narrower
    student's own vectors learn by ``similarity``.
    """

    kind: Literal["vector"]
    loss: Literal["cosine", "l2", "mse"] = "cosine"
    """``cosine``: 1 - cos; ``l2``: the distance of vectors of length 1; ``mse``: the mean squared
    error of the vectors as they are."""


class RelationalObjective(_OfVectors):
    """Distances and angles among the sentences of a batch (RKD); any widths."""

    kind: Literal["relational"]
    distance: Weight = 1.0
    """Factor of the part on the distances of pairs."""
    angle: Weight = 2.0
    """Factor of the part on the angles of triplets."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.distance == self.angle == 0:
            raise ValueError("distance and angle are both 0; give one of them a weight")
        return self


class OrderObjective(_OfVectors):
    """Which of two sentences is more like a third, as the teacher orders them; any widths."""

    kind: Literal["order"]
    margin: Annotated[float, Field(ge=0, le=2)] = 0.015
    """By how much the student's cosines of the two must differ."""


def tokenizer_free(task: TaskSection) -> list[str]:
    """A task's kinds of objective for which teacher and student may read different tokens."""
    kinds = {
        get_args(one.model_fields["kind"].annotation)[0]: one
        for one in get_args(get_args(Objective)[0])
        if one.signals == frozenset({"logits"})
    }
    made = {kind: one.model_validate({"kind": kind}) for kind, one in kinds.items()}
    return [
        kind for kind, one in made.items() if task.objective_issue(cast("Objective", one)) is None
    ]


Objective = Annotated[
    EmbeddingObjective
    | AttentionObjective
    | HiddenObjective
    | LogitsObjective
    | RelationsObjective
    | CosineObjective
    | ClsObjective
    | DecoupledObjective
    | StandardizedObjective
    | MlmObjective
    | SimilarityObjective
    | VectorObjective
    | RelationalObjective
    | OrderObjective,
    Field(discriminator="kind"),
]
