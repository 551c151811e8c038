"""Parts of ``results.json`` that describe a model's errors: by label, by confidence, by pair."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of the results."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LabelScore(Part):
    """How well one label is predicted."""

    precision: float
    """Of the examples that were given the label, the share that has it; 0 where there are none."""
    recall: float
    """Of the examples that have the label, the share that was given it; 0 where there are none."""
    f1: float
    """Their harmonic mean."""
    support: int
    """How many examples have it."""


class Bin(Part):
    """Predictions of like confidence."""

    rows: int
    """How many there are; empty bins are left out."""
    confidence: float
    """Their mean confidence."""
    accuracy: float
    """The share of them that is right."""


class Calibration(Part):
    """Whether a model is as often right as it says."""

    ece: float
    """Expected calibration error: the mean over bins of the gap between confidence and accuracy."""
    bins: list[Bin]
    """From the least confident to the most."""


class Confusion(Part):
    """What the final model says instead of the true label."""

    model: str
    """Which model."""
    rows: dict[str, dict[str, int]]
    """True label to predicted label to how many examples; pairs without a row are left out."""


class Disagreement(Part):
    """Rows that the final model and the teacher answer differently."""

    model: str
    """Which model."""
    rows: int
    """How many there are."""
    share: float
    """Of all examples."""
    teacher_right: int
    """Of these, where the teacher is right."""
    model_right: int
    """Where the model is right."""
    neither_right: int
    """Where both are wrong."""
