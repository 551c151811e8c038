"""The ``task`` section."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictStr, field_validator

from distill.recipe.schema.base import Section


class ClassificationTask(Section):
    """One label for a sentence or a pair of sentences."""

    kind: Literal["classification"]
    labels: Annotated[list[StrictStr], Field(min_length=2)] | None = None
    """Label names in the order of their integers; left out, they come from the training data."""
    metric: Literal["accuracy", "f1", "macro_f1", "mcc"] = "accuracy"
    """What is reported and what chooses the best checkpoint; ``f1`` is of the second label."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str] | None) -> list[str] | None:
        if labels is not None and len(set(labels)) != len(labels):
            raise ValueError("a label stands in the list twice")
        return labels


class TextTask(Section):
    """Unlabelled text: nothing is predicted, and what comes out is an encoder without a head."""

    kind: Literal["text"]

    # What other tasks say in a recipe, and this one has none of.
    labels: ClassVar[list[str] | None] = None
    metric: ClassVar[str] = ""


Task = Annotated[ClassificationTask | TextTask, Field(discriminator="kind")]
