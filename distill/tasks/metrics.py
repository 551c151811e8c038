"""Metrics of all rows at once; among them correlations with given numbers, in fp64.

Legend: B rows of a batch, N rows.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

#: Pearson's is of the numbers, Spearman's of their ranks, the mean rank where several are equal.
Kind = Literal["pearson", "spearman"]

_Numbers = npt.NDArray[np.float64]
#: Predictions in fp32 that differ by no more than its rounding, relative to the largest: batches
#: of other sizes round otherwise, and the correlation of rounding errors is any number.
_ROUNDING = 4 * float(np.finfo(np.float32).eps)


def correlation(kind: Kind, predicted: _Numbers, given: _Numbers) -> float | None:
    r"""Pearson's or Spearman's correlation, between -1 and 1.

    .. math:: r = \frac{\sum (p - \bar p)(g - \bar g)}
        {\sqrt{\sum (p - \bar p)^2 \sum (g - \bar g)^2}}

    ``None`` where it is not defined: fewer than two rows, one of the two (N,) the same everywhere
    (predictions up to the rounding of fp32), or predictions that are no finite numbers.

    Reference:
        ``scipy.stats.pearsonr`` and ``spearmanr`` give the same numbers where they are defined.
    """
    if len(given) < 2 or not np.isfinite(predicted).all() or not np.isfinite(given).all():
        return None
    if np.ptp(predicted) <= _ROUNDING * np.abs(predicted).max() or np.ptp(given) == 0:
        return None
    if kind == "spearman":
        predicted, given = _ranks(predicted), _ranks(given)
    ours, theirs = _unit(predicted), _unit(given)
    return float(np.clip(ours @ theirs, -1.0, 1.0))


def _unit(values: _Numbers) -> _Numbers:
    """Values less their mean, of length 1; first scaled, so that no square is too large."""
    centred = values - values.mean()
    centred = centred / np.abs(centred).max()
    return np.asarray(centred / np.linalg.norm(centred))


def _ranks(values: _Numbers) -> _Numbers:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=np.float64)


class Collected(Metric):
    """Keeps what batches bring, in any order and on any process, until the end.

    Attributes:
        kept: the names of what :meth:`update` takes, each a tensor with a value for every row.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    kept: ClassVar[tuple[str, ...]]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in self.kept:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, *values: Tensor) -> None:
        for name, value in zip(self.kept, values, strict=True):
            getattr(self, name).append(value.detach())

    def whole(self) -> list[Tensor]:
        """All rows of each of :attr:`kept`."""
        return [dim_zero_cat(getattr(self, name)) for name in self.kept]


class Correlation(Collected):
    """The correlation of one output a row (B,) with a number a row (B,).

    It is 0 where :func:`correlation` is not defined.

    Attributes:
        undefined: whether the last :meth:`compute` was of such numbers. A checkpoint with such a
            score is never chosen over one that has a correlation.
    """

    kept: ClassVar[tuple[str, ...]] = ("predicted", "given")

    def __init__(self, kind: Kind, **options: Any) -> None:
        super().__init__(**options)
        self.kind: Kind = kind
        self.undefined = False

    def columns(self) -> tuple[Tensor, Tensor]:
        """The predicted and the given numbers, (N,) each."""
        predicted, given = self.whole()
        return predicted.float(), given.float()

    def compute(self) -> Tensor:
        numbers = (x.double().cpu().numpy() for x in self.columns())
        found = correlation(self.kind, *numbers)
        self.undefined = found is None
        return torch.tensor(found or 0.0, dtype=torch.float64)


def undefined_note(name: str) -> str:
    """What to say of a correlation that is not defined."""
    return f"{name} is not defined, as all predictions or all given numbers are the same: 0"


def undefined(metrics: Any) -> list[str]:
    """The names of the scores of a collection that were not defined when it was computed."""
    return [name for name, metric in metrics.items() if getattr(metric, "undefined", False)]
