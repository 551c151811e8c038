"""Metrics as functions of how often each example is drawn, for a thousand draws at once.

On every example drawn once each gives what the task's own metric gives.

Legend: R draws, N examples, C labels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from distill.tasks.metrics import Kind, correlation

Floats = npt.NDArray[np.float64]
#: How often each example was drawn, (R, N), to the score on each draw, (R,).
Scorer = Callable[[Floats], Floats]
#: Correct, predicted and true counts (R, C) of each label, to scores (R,).
Combine = Callable[[Floats, Floats, Floats], Floats]


def mean_scorer(values: npt.NDArray[np.floating] | npt.NDArray[np.bool_]) -> Scorer:
    """The mean of a value of each example, (N,): accuracy, exact match, F1 of answers."""
    wide = np.asarray(values, dtype=np.float64)
    return lambda drawn: drawn @ wide / len(wide)


def counts_scorer(counts: npt.NDArray[np.generic], combine: Combine) -> Scorer:
    """A score of how many labels are correct, predicted and true.

    Args:
        counts: of each example, (N, 3, C).
        combine: their sums over the drawn examples to scores.
    """
    examples, _, labels = counts.shape
    table = counts.reshape(examples, 3 * labels).astype(np.float64)

    def scorer(drawn: Floats) -> Floats:
        sums = (drawn @ table).reshape(len(drawn), 3, labels)
        correct, predicted, true = np.moveaxis(sums, 1, 0)
        return combine(correct, predicted, true)

    return scorer


def correlation_scorer(
    kind: Kind,
    predicted: npt.NDArray[np.floating],
    true: npt.NDArray[np.floating],
) -> Scorer:
    """Pearson's correlation of two (N,), or that of their ranks in each draw.

    Equal values share their mean rank. Predictions that are all the same correlate with nothing:
    0.
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (predicted, true))
    if correlation("pearson", x, y) is None:
        return mean_scorer(np.zeros(len(y)))
    if kind == "spearman":
        groups = [_Groups(values) for values in (x, y)]
        return lambda drawn: _correlation(drawn, *(group.ranks(drawn) for group in groups))
    # Centred first: sums of squares of large numbers would lose their differences.
    x, y = x - x.mean(), y - y.mean()
    return lambda drawn: _correlation(drawn, np.broadcast_to(x, drawn.shape), y[None, :])


class _Groups:
    """Examples of equal values, in the order of these."""

    def __init__(self, values: Floats) -> None:
        self.order = np.argsort(values, kind="stable")
        ordered = values[self.order]
        fresh = np.append(True, ordered[1:] != ordered[:-1])
        self.firsts = np.flatnonzero(fresh)
        self.group_of = np.empty(len(values), dtype=np.int64)
        self.group_of[self.order] = np.cumsum(fresh) - 1

    def ranks(self, drawn: Floats) -> Floats:
        """The rank of each example among the drawn ones, (R, N), from 0."""
        sizes = np.add.reduceat(drawn[:, self.order], self.firsts, axis=1)
        ranks = np.cumsum(sizes, axis=1) - (sizes + 1) / 2
        return ranks[:, self.group_of]


def _correlation(drawn: Floats, x: Floats, y: Floats) -> Floats:
    """Weighted correlation of (R, N); 0 where one of both is the same in all drawn examples."""
    total = drawn.sum(axis=1, keepdims=True)
    x = x - (drawn * x).sum(axis=1, keepdims=True) / total
    y = y - (drawn * y).sum(axis=1, keepdims=True) / total
    xy, xx, yy = ((drawn * product).sum(axis=1) for product in (x * y, x * x, y * y))
    scale = np.sqrt(xx * yy)
    # What is constant but for rounding has no correlation.
    alike = scale <= 1e-12 * np.maximum(xx.max(initial=0), yy.max(initial=0))
    return np.where(alike, 0.0, xy / np.where(alike, 1.0, scale))


def _share(part: Floats, whole: Floats) -> Floats:
    shares: Floats = np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0.0)
    return shares


def micro_f1(correct: Floats, predicted: Floats, true: Floats) -> Floats:
    """F1 over all labels together."""
    return _share(2 * correct.sum(axis=1), (predicted + true).sum(axis=1))


def precision(correct: Floats, predicted: Floats, true: Floats) -> Floats:
    """Precision over all labels together."""
    return _share(correct.sum(axis=1), predicted.sum(axis=1))


def recall(correct: Floats, predicted: Floats, true: Floats) -> Floats:
    """Recall over all labels together."""
    return _share(correct.sum(axis=1), true.sum(axis=1))


def mean_f1(correct: Floats, predicted: Floats, true: Floats) -> Floats:
    """The mean of the labels' F1, which is 0 of a label that is neither predicted nor true."""
    return np.asarray(_share(2 * correct, predicted + true).mean(axis=1))


def mean_f1_of_seen(correct: Floats, predicted: Floats, true: Floats) -> Floats:
    """The mean of the F1 of those labels that are predicted or true."""
    seen = (predicted + true > 0).sum(axis=1).astype(np.float64)
    return _share(_share(2 * correct, predicted + true).sum(axis=1), seen)


def matthews(correct: Floats, predicted: Floats, true: Floats) -> Floats:
    """Matthews correlation coefficient of single labels."""
    rows = true.sum(axis=1)  # (R,)
    covariance = correct.sum(axis=1) * rows - (predicted * true).sum(axis=1)
    spread = (rows**2 - (predicted**2).sum(axis=1)) * (rows**2 - (true**2).sum(axis=1))
    return _share(covariance, np.sqrt(np.maximum(spread, 0)))
