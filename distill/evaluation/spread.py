r"""How far a number spreads over repetitions: mean, sample standard deviation and their count.

For values :math:`x_1 \dots x_n` the mean is :math:`\bar x = \sum x_i / n` and the sample standard
deviation :math:`s = \sqrt{\sum (x_i - \bar x)^2 / (n - 1)}`, which one value alone has not.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict


class Spread(BaseModel):
    """A number over seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    mean: float
    """Over the seeds that have a value."""
    deviation: float | None
    """The sample standard deviation; ``None`` of one value alone."""
    n: int
    """How many values there are."""
    values: dict[int, float]
    """By seed."""


def mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation; ``None`` below one value, and below two."""
    return (
        statistics.fmean(values) if values else None,
        statistics.stdev(values) if len(values) > 1 else None,
    )


def spread(values: Mapping[int, float | None]) -> Spread | None:
    """The spread of values by seed; ``None`` where no seed has one.

    Example:
        >>> spread({1: 0.5, 2: 0.7, 3: None}).n
        2
    """
    there = {seed: value for seed, value in values.items() if value is not None}
    mean, deviation = mean_and_deviation(list(there.values()))
    if mean is None:
        return None
    return Spread(mean=mean, deviation=deviation, n=len(there), values=there)
