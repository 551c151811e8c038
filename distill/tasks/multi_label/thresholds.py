"""For each of several labels the probability above which giving it makes the best F1.

Legend: N rows, C labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from distill.tasks.metrics import Collected

#: Where nothing speaks for another one.
USUAL = 0.5
#: Probabilities no further apart than this are the same: another engine may turn them round.
_ALIKE = 1e-6

Floats = npt.NDArray[np.float64]


def best_thresholds(
    probabilities: npt.NDArray[np.floating[Any]], labels: npt.NDArray[Any]
) -> tuple[float, ...]:
    r"""The threshold of each label with the best F1 on these rows.

    Rows whose probability is above the threshold are given the label. Where so the k likeliest
    rows are given it, :math:`tp_k` of them rightly, and P rows have it,

    .. math:: F_1 = 2 tp_k / (k + P).

    Between the k-th and the next probability every threshold does the same: it is 0.5 where that
    lies between them, else the middle. Of equal F1 the threshold nearest to 0.5 is taken; a label
    that no row has keeps 0.5.

    Reference:
        Lipton et al. 2014, Optimal Thresholding of Classifiers to Maximize F1 Measure.

    Example:
        >>> best_thresholds(np.array([[0.3], [0.2], [0.1]]), np.array([[1], [1], [0]]))
        (0.15,)
    """
    wide = np.asarray(probabilities, dtype=np.float64)
    there = np.asarray(labels) > 0
    return tuple(_best(wide[:, k], there[:, k]) for k in range(wide.shape[1]))


def _best(shares: Floats, there: npt.NDArray[np.bool_]) -> float:
    """Of one label: probabilities and whether it is there, (N,)."""
    positives = int(there.sum())
    if not positives:
        return USUAL
    order = np.argsort(-shares, kind="stable")
    sorted_ = shares[order]
    below = np.append(sorted_[1:], 0.0)  # the next probability, or nothing
    right = np.cumsum(there[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + positives)
    f1[sorted_ - below < _ALIKE] = -1.0  # what is alike cannot be parted
    if f1.max() < 0:
        return USUAL
    # 0.5 itself may give the label to no row, which is as bad as can be: it need not be looked at.
    middle = np.where((below <= USUAL) & (sorted_ > USUAL), USUAL, (sorted_ + below) / 2)
    best = np.flatnonzero(np.isclose(f1, f1.max(), rtol=0, atol=1e-12))
    return float(middle[best[np.argmin(np.abs(middle[best] - USUAL))]])


class ThresholdScores(Collected):
    """Scores of several labels, with the thresholds that are best on the very rows scored.

    Args:
        scores: makes the metrics of decisions and labels, 0 and 1 (N, C) each.
    """

    kept = ("logits", "labels")

    def __init__(self, scores: Callable[[], dict[str, Metric]]) -> None:
        super().__init__()
        self._scores = scores

    def compute(self) -> dict[str, Tensor]:
        logits, labels = self.whole()
        said = decided(logits, thresholds_of(logits, labels))
        # A fresh metric, called once: of these rows alone.
        return {
            name: metric.to(logits.device)(said, labels.long())
            for name, metric in self._scores().items()
        }


def thresholds_of(logits: Tensor, labels: Tensor) -> tuple[float, ...]:
    """:func:`best_thresholds` of logits (N, C)."""
    shares = logits.float().sigmoid().cpu().numpy()
    return best_thresholds(shares, labels.cpu().numpy())


def decided(logits: Tensor, thresholds: tuple[float, ...]) -> Tensor:
    """1 where a label's probability is above its threshold and 0 elsewhere, fp32 (N, C)."""
    bars = torch.tensor(thresholds, device=logits.device)  # (C,)
    return (logits.float().sigmoid() > bars).to(torch.float32)
