"""What a distill stage matches."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from distill.recipe.schema.base import PositiveInt, Section, Weight

LayerPair = Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]


class ObjectiveConfig(Section):
    """Base of the objectives: one loss over signals."""

    signals: ClassVar[frozenset[str]] = frozenset()
    """What of student and teacher is compared."""
    weight: Weight = 1.0
    """Factor of this loss in the sum."""

    @property
    def mapped(self) -> bool:
        """Whether it compares the layers that the stage's layer map pairs."""
        return bool(self.signals & {"attention", "hidden", "queries"})


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
    loss: Literal["soft_ce", "kl", "mse"] = "soft_ce"
    """``soft_ce`` and ``kl`` have the same gradient; ``mse`` matches raw logits."""
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


Objective = Annotated[
    EmbeddingObjective
    | AttentionObjective
    | HiddenObjective
    | LogitsObjective
    | RelationsObjective,
    Field(discriminator="kind"),
]
