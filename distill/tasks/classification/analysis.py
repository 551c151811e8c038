"""Predictions of one label for each example.

Legend: N examples, C labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distill.data.split import Split
from distill.tasks.analysis import Array, ExampleAnalysis, Flags
from distill.tasks.scorers import (
    Scorer,
    counts_scorer,
    matthews,
    mean_f1_of_seen,
    mean_scorer,
    micro_f1,
)


class LabelAnalysis(ExampleAnalysis):
    """One label for each example; see :class:`~distill.tasks.analysis.Analysis`."""

    def _sure(self, model: str) -> npt.NDArray[np.float32]:
        chosen = self.chosen(model)[:, None]
        sure: npt.NDArray[np.float32] = np.take_along_axis(self.outputs[model], chosen, axis=1)
        return sure[:, 0]

    def right(self, model: str) -> Flags:
        return np.asarray(self.chosen(model) == self.targets)

    def confidence(self, model: str) -> tuple[npt.NDArray[np.float32], Flags]:
        """See :meth:`Analysis.confidence`: of each example's label."""
        return self._sure(model), self.right(model)

    def counts(self, model: str) -> npt.NDArray[np.int64]:
        return self._counts(self.chosen(model))

    def _counts(self, chosen: Array) -> npt.NDArray[np.int64]:
        predicted, true = (
            labels[:, None] == np.arange(len(self.names)) for labels in (chosen, self.targets)
        )  # (N, C)
        return np.stack([predicted & true, predicted, true], axis=1).astype(np.int64)

    def confusions(self, model: str) -> dict[str, dict[str, int]]:
        count = len(self.names)
        pairs = np.asarray(self.targets, dtype=np.int64) * count + self.chosen(model)
        matrix = np.bincount(pairs, minlength=count * count).reshape(count, count)
        rows = {
            true: {self.names[k]: int(n) for k, n in enumerate(matrix[at]) if n}
            for at, true in enumerate(self.names)
        }
        return {true: row for true, row in rows.items() if row}

    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        """See :meth:`Analysis.difference`: the model's probability of another label."""
        return np.where(
            self.chosen(teacher) != self.chosen(model), self._sure(model), np.float32(-np.inf)
        )

    def prediction(self, model: str, index: int) -> dict[str, Any]:
        words = super().prediction(model, index)
        outputs = self.outputs[model][index]
        return {**words, "confidence": float(outputs[self.names.index(words["prediction"])])}

    def scorer(self, model: str) -> Scorer | None:
        return self._scorer(self.chosen(model))

    def majority(self, train: Split) -> Scorer | None:
        """See :meth:`Analysis.majority`: the commonest label."""
        commonest = np.bincount(train.targets, minlength=len(self.names)).argmax()
        return self._scorer(np.full(len(self), commonest))

    def _scorer(self, chosen: Array) -> Scorer | None:
        metric, counts = self.task.primary, self._counts(chosen)
        if metric == "accuracy":
            return mean_scorer(chosen == self.targets)
        if metric == "f1":
            return counts_scorer(counts[:, :, 1:2], micro_f1)
        combine = {"macro_f1": mean_f1_of_seen, "mcc": matthews}.get(metric)
        return combine and counts_scorer(counts, combine)
