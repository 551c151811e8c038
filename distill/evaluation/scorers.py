"""The metrics of tasks as sums over rows, so that they can be computed on a thousand draws of rows.

On every row drawn once each gives what the task's own metric gives.

Legend: R draws, N rows, C labels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from distill.evaluation.bootstrap import (
    Floats,
    Scorer,
    mean_scorer,
    pearson_scorer,
    spearman_scorer,
    sums_scorer,
)
from distill.evaluation.predictions import Predictions
from distill.tasks.correlation import correlation


def row_scorer(found: Predictions, model: str, metric: str) -> Scorer | None:
    """The scorer of a model's kept predictions, a row of outputs for each row of the data.

    Args:
        found: of classification, multi-label, regression, or the cosines of pairs.
        model: its name.
        metric: the task's.

    Returns:
        ``None`` of a metric that is not known here.
    """
    if found.task in ("regression", "vectors"):
        values, true = (
            np.asarray(one, dtype=np.float64) for one in (found.outputs[model][:, 0], found.targets)
        )
        if metric not in ("pearson", "spearman"):
            return None
        if correlation("pearson", values, true) is None:  # the same everywhere
            return mean_scorer(np.zeros(len(true)))
        return (pearson_scorer if metric == "pearson" else spearman_scorer)(values, true)
    if found.task == "multi_label":
        return _several_labels(found.decided(model) > 0, found.targets > 0, metric)
    return _one_label(found.decided(model), found.targets, len(found.labels), metric)


def _one_label(
    given: npt.NDArray[np.int64], true: npt.NDArray[np.int64], count: int, metric: str
) -> Scorer | None:
    """Labels (N,) of ``count``."""
    if metric == "accuracy":
        return mean_scorer(given == true)
    chosen, there = (labels[:, None] == np.arange(count) for labels in (given, true))  # (N, C)
    if metric == "f1":
        return f1_scorer(chosen[:, 1:2], there[:, 1:2], _micro)
    if metric == "macro_f1":
        return f1_scorer(chosen, there, mean_of_seen)
    return _mcc(chosen, there) if metric == "mcc" else None


def _several_labels(
    given: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_], metric: str
) -> Scorer | None:
    """Labels (N, C) of which each is there or not."""
    if metric == "exact":
        return mean_scorer((given == true).all(axis=1))
    combine = {
        "micro_f1": _micro,
        "macro_f1": _mean_of_all,
        "precision": lambda right, found, real: _share(right.sum(1), found.sum(1)),
        "recall": lambda right, found, real: _share(right.sum(1), real.sum(1)),
    }.get(metric)
    return combine and f1_scorer(given, true, combine)


#: Right, found and real counts (R, C) of each label, to scores (R,).
Combine = Callable[[Floats, Floats, Floats], Floats]


def f1_scorer(found: npt.NDArray[np.bool_], real: npt.NDArray[np.bool_], score: Combine) -> Scorer:
    """A score of how many labels of each kind are right, found and real; (N, C) each."""
    return counts_scorer(np.stack([found & real, found, real], axis=1), score)


def counts_scorer(counts: npt.NDArray[np.generic], score: Combine) -> Scorer:
    """The same of counts (N, 3, C): right, found and real ones of each row."""
    rows, _, labels = counts.shape
    table = counts.reshape(rows, 3 * labels).astype(np.float64)

    def of_sums(sums: Floats) -> Floats:
        right, found, real = np.moveaxis(sums.reshape(len(sums), 3, labels), 1, 0)
        return score(right, found, real)

    return sums_scorer(table, of_sums)


def _share(part: Floats, whole: Floats) -> Floats:
    """Shares, 0 of nothing."""
    found: Floats = np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0.0)
    return found


def _micro(right: Floats, found: Floats, real: Floats) -> Floats:
    """F1 over all labels together."""
    return _share(2 * right.sum(axis=1), (found + real).sum(axis=1))


def mean_of_seen(right: Floats, found: Floats, real: Floats) -> Floats:
    """The mean of the F1 of those labels that are found or real."""
    seen = found + real > 0
    return _share(_share(2 * right, found + real).sum(axis=1), seen.sum(axis=1).astype(np.float64))


def _mean_of_all(right: Floats, found: Floats, real: Floats) -> Floats:
    """The mean of the labels' F1, which is 0 of a label that is neither found nor real."""
    return np.asarray(_share(2 * right, found + real).mean(axis=1))


def _mcc(chosen: npt.NDArray[np.bool_], there: npt.NDArray[np.bool_]) -> Scorer:
    """Matthews correlation coefficient of labels (N, C)."""

    def of_counts(right: Floats, found: Floats, real: Floats) -> Floats:
        rows = real.sum(axis=1)  # (R,)
        covariance = right.sum(axis=1) * rows - (found * real).sum(axis=1)
        spread = (rows**2 - (found**2).sum(axis=1)) * (rows**2 - (real**2).sum(axis=1))
        return _share(covariance, np.sqrt(np.maximum(spread, 0)))

    return f1_scorer(chosen, there, of_counts)


def entity_scorer(counts: npt.NDArray[np.int64], metric: str) -> Scorer | None:
    """The scorer of entities.

    Args:
        counts: of each row and type the right, found and real ones, (N, 3, T).
        metric: the task's, read as that one reads tags.
    """
    combine: dict[str, Combine] = {
        "f1": _micro,
        "lenient_f1": _micro,
        "macro_f1": mean_of_seen,
        "precision": lambda right, found, real: _share(right.sum(1), found.sum(1)),
        "recall": lambda right, found, real: _share(right.sum(1), real.sum(1)),
    }
    return counts_scorer(counts, combine[metric]) if metric in combine else None
