"""What a distill stage matches."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from distill.recipe.schema.base import Section, Weight


class ObjectiveConfig(Section):
    """Base of the objectives: one loss over a signal."""

    weight: Weight = 1.0
    """Factor of this loss in the sum."""


class EmbeddingObjective(ObjectiveConfig):
    """Mean squared error between the embedding outputs (TinyBERT eq. 9)."""

    kind: Literal["embedding"]


class AttentionObjective(ObjectiveConfig):
    """Mean squared error between attention scores before the softmax (TinyBERT eq. 7)."""

    kind: Literal["attention"]


class HiddenObjective(ObjectiveConfig):
    """Mean squared error between hidden states at mapped layers (TinyBERT eq. 8)."""

    kind: Literal["hidden"]


class LogitsObjective(ObjectiveConfig):
    """Soft cross-entropy between teacher and student logits (TinyBERT eq. 10)."""

    kind: Literal["logits"]
    loss: Literal["soft_ce", "kl", "mse"] = "soft_ce"
    """``soft_ce`` and ``kl`` have the same gradient; ``mse`` matches raw logits."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Both sides' logits are divided by it; the loss is multiplied by its square."""
    hard_weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the cross-entropy with the true label in this loss."""


Objective = Annotated[
    EmbeddingObjective | AttentionObjective | HiddenObjective | LogitsObjective,
    Field(discriminator="kind"),
]
