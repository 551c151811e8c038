"""Predictions of any number of labels for each example.

Legend: N examples, C labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distill.data.split import Split
from distill.tasks.analysis import Array, ExampleAnalysis, Flags
from distill.tasks.scorers import (
    Scorer,
    counts_scorer,
    mean_f1,
    mean_scorer,
    micro_f1,
    precision,
    recall,
)

_COMBINE = {
    "micro_f1": micro_f1,
    "macro_f1": mean_f1,
    "precision": precision,
    "recall": recall,
}


class LabelsAnalysis(ExampleAnalysis):
    """Labels of which each is predicted or not; see :class:`~distill.tasks.analysis.Analysis`."""

    def thresholds(self, model: str) -> dict[str, float]:
        return dict(zip(self.names, self.decoders[model].settings["thresholds"], strict=True))

    def arrays(self, model: str) -> dict[str, Array]:
        """See :meth:`Analysis.arrays`: ``outputs`` (N, C) and ``thresholds`` (C,)."""
        thresholds = np.array(list(self.thresholds(model).values()), dtype=np.float64)
        return {**super().arrays(model), "thresholds": thresholds}

    def right(self, model: str) -> Flags:
        """See :meth:`Analysis.right`: all labels of an example."""
        return np.asarray((self.chosen(model) == (self.targets > 0)).all(axis=1))

    def confidence(self, model: str) -> tuple[npt.NDArray[np.float32], Flags]:
        """See :meth:`Analysis.confidence`: of each label, whether it is true."""
        return self.outputs[model].ravel(), self.targets.ravel() > 0

    def counts(self, model: str) -> npt.NDArray[np.int64]:
        return self._counts(self.chosen(model))

    def _counts(self, chosen: Array) -> npt.NDArray[np.int64]:
        true = self.targets > 0
        return np.stack([chosen & true, chosen, true], axis=1).astype(np.int64)

    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        """See :meth:`Analysis.difference`: where a label's two probabilities are furthest apart."""
        apart = np.abs(self.outputs[model] - self.outputs[teacher]).max(axis=1)
        differ = (self.chosen(teacher) != self.chosen(model)).any(axis=1)
        return np.where(differ, apart, np.float32(-np.inf))

    def scorer(self, model: str) -> Scorer | None:
        return self._scorer(self.chosen(model))

    def majority(self, train: Split) -> Scorer | None:
        """See :meth:`Analysis.majority`: every label that most examples have."""
        common = train.targets.mean(axis=0, dtype=np.float32) > 0.5
        return self._scorer(np.broadcast_to(common, self.targets.shape))

    def _scorer(self, chosen: Array) -> Scorer | None:
        metric = self.task.primary
        if metric == "exact":
            return mean_scorer((chosen == (self.targets > 0)).all(axis=1))
        return counts_scorer(self._counts(chosen), _COMBINE[metric]) if metric in _COMBINE else None
