"""Predictions of a number for each example.

Legend: N examples.
"""

from __future__ import annotations

from typing import cast, get_args

import numpy as np
import numpy.typing as npt

from distill.data.split import Split
from distill.tasks.analysis import ExampleAnalysis
from distill.tasks.correlation import Kind
from distill.tasks.scorers import Scorer, correlation_scorer, mean_scorer


class NumberAnalysis(ExampleAnalysis):
    """A number for each example; see :class:`~distill.tasks.analysis.Analysis`."""

    def target_in_words(self, index: int) -> str:
        """The number as the data have it."""
        return f"{float(self.targets[index]):g}"

    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        """See :meth:`Analysis.difference`: how far both numbers are apart."""
        apart = np.abs(self.outputs[model] - self.outputs[teacher])[:, 0]
        return np.where(apart > 0, apart, np.float32(-np.inf))

    def scorer(self, model: str) -> Scorer | None:
        metric = self.task.primary
        if metric not in get_args(Kind):
            return None
        return correlation_scorer(cast(Kind, metric), self.outputs[model][:, 0], self.targets)

    def majority(self, train: Split) -> Scorer | None:
        """See :meth:`Analysis.majority`: the same number everywhere, which correlates with none."""
        return mean_scorer(np.zeros(len(self)))
