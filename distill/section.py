"""What every part of a recipe is made of: the base class, types of values, training settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr

if TYPE_CHECKING:
    from distill.recipe.schema import Recipe
    from distill.recipe.shapes import Before

Name = Annotated[
    StrictStr, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", description="Lower-case name, no spaces.")
]
PositiveInt = Annotated[StrictInt, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(gt=0)]

#: What breaks a rule: where in a section, and what to do.
Issues = Iterator[tuple[tuple[str | int, ...], str]]


class Section(BaseModel):
    """Base of every part of a recipe: frozen, unknown keys refused, no silent conversion."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )

    def differs(self, key: str) -> bool:
        """Whether a key has another value than by default: a recipe written out names all keys."""
        field = type(self).model_fields[key]
        return bool(getattr(self, key) != field.get_default(call_default_factory=True))


class StageSection(Section):
    """Base of every stage."""

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        """What cannot be in this section.

        Args:
            recipe: the whole, which satisfies the schema.
            before: what the stage finds when it begins.
        """
        yield from ()


def by_default(key: str, value: str) -> BeforeValidator:
    """For a union over ``method`` or ``kind``: a section that names none has this one."""

    def named(section: Any) -> Any:
        if isinstance(section, dict) and key not in section:
            return section | {key: value}
        return section

    return BeforeValidator(named)


class TrainConfig(Section):
    """How weights are trained: shared by every stage that trains."""

    epochs: PositiveInt = 3
    """Passes over the training examples."""
    max_steps: PositiveInt | None = None
    """Optimiser steps of the whole training, in place of ``epochs``."""
    lr: Annotated[float, Field(gt=0, lt=1)] = 5e-5
    """Peak learning rate of AdamW."""
    batch_size: PositiveInt = 32
    """Examples of a batch; several processes share it equally."""
    accumulate_grad_batches: PositiveInt = 1
    """Batches whose gradients are added up for one optimiser step."""
    warmup: Share = 0.1
    """Share of the steps over which the learning rate rises to its peak."""
    schedule: Literal["linear", "constant", "cosine"] = "linear"
    """The learning rate after warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay; biases and LayerNorm weights have none."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of the learning rate from each layer to the one below it: the head has ``lr``, the
    topmost layer ``lr`` times it, and the embeddings the least. 1: all the same."""
    gradient_clip_val: Annotated[float, Field(ge=0)] = 1.0
    """Largest global gradient norm; 0 does not clip."""
    dropout: Share | None = None
    """Dropout while training; left out, the model's own. Drawing it takes time on a CPU."""
    val_check_interval: PositiveInt | Annotated[float, Field(gt=0, le=1)] = 1.0
    """Scored on validation examples after this share of an epoch (``0.25``: four times in each), or
    after so many batches (an integer); the end of a training always is."""
    patience: PositiveInt | None = None
    """Stop after so many evaluations without a better score; left out, never."""
