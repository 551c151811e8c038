"""A number for a sentence or a pair of sentences, such as how alike the two are.

Shapes: N examples, B of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

from distill.data.reader import Labels, Reader, Tables, TextReader, as_number
from distill.data.sources.columns import stored
from distill.data.sources.table import Table
from distill.data.split import Split
from distill.system import distributed
from distill.system.errors import ModelError
from distill.tasks.analysis import Analysis, ExampleAnalysis
from distill.tasks.base import LogitsLoss, ProblemType, Task
from distill.tasks.metrics import Correlation, Kind
from distill.tasks.scorers import Scorer, correlation_scorer, mean_scorer
from students.heads import activation_of


class NumberReader(TextReader):
    """Reads a number for each text."""

    def label_issues(self, table: Table) -> dict[int, str]:
        values = table.column(self.columns.label, "data.columns.label")
        issues = {row: self._issue(value) for row, value in enumerate(values)}
        return {row: issue for row, issue in issues.items() if issue is not None}

    def _issue(self, value: Any) -> str | None:
        number, column = as_number(value), self.columns.label
        if not math.isfinite(number):
            return (
                f"column '{column}' holds {value!r}; a regression needs a finite number in every "
                "row"
            )
        bounds = self.task.bounds
        if bounds is not None and not bounds[0] <= number <= bounds[1]:
            low, high = bounds
            return f"{number:g} in column '{column}' is not within task.bounds, {low:g} to {high:g}"
        return None

    def labels(self, tables: Tables) -> Labels:
        column = self.columns.label
        numbers: dict[str, Sequence[Any]] = {
            role: stored(map(float, table.columns[column]), pa.float64())
            for role, table in tables.items()
        }
        return tables, numbers, ()


class NumberAnalysis(ExampleAnalysis):
    """A number for each example."""

    def target_in_words(self, index: int) -> str:
        return f"{float(self.targets[index]):g}"

    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        apart = np.abs(self.outputs[model] - self.outputs[teacher])[:, 0]
        return np.where(apart > 0, apart, np.float32(-np.inf))

    def scorer(self, model: str) -> Scorer | None:
        metric = self.task.primary
        if metric not in get_args(Kind):
            return None
        return correlation_scorer(cast(Kind, metric), self.outputs[model][:, 0], self.targets)

    def majority(self, train: Split) -> Scorer | None:
        """The same number everywhere, which correlates with none."""
        return mean_scorer(np.zeros(len(self)))


class Regression(Task):
    """One number by mean squared error.

    Metrics:

    - ``pearson``: correlation of predictions and numbers (GLUE's STS-B);
    - ``spearman``: correlation of their ranks, the mean rank where several are equal;
    - a correlation that is not defined, as all predictions are the same, counts as 0;
    - ``mse``, ``mae``: mean squared and absolute error, told beside the score.
    """

    kind: ClassVar[str] = "regression"
    fixed_labels: ClassVar[tuple[str, ...] | None] = ("score",)
    reader: ClassVar[type[Reader]] = NumberReader
    problem_type: ClassVar[ProblemType | None] = "regression"
    analyses: ClassVar[type[Analysis] | None] = NumberAnalysis
    logits_loss: ClassVar[LogitsLoss] = "mse"

    @classmethod
    def of_model(cls, labels: Sequence[str], config: Any) -> tuple[list[str], dict[str, Any]]:
        if len(labels) != 1:
            raise ModelError(f"a regression has one output, and its head has {len(labels)}")
        return list(labels), {"activation": activation_of(config)}

    @property
    def settings(self) -> dict[str, Any]:
        """The bounds, to which the runtime clips its predictions; scores are of unclipped ones."""
        return {"bounds": self.config.bounds}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return distributed.mean((logits.float().squeeze(-1) - labels.float()).square())

    def scores(self) -> dict[str, Metric]:
        return {
            "pearson": Correlation("pearson"),
            "spearman": Correlation("spearman"),
            "mse": MeanSquaredError(),
            "mae": MeanAbsoluteError(),
        }

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        metrics.update(self.decide(logits), batch["labels"].float())

    def decide(self, logits: Tensor) -> Tensor:
        return logits.squeeze(-1)


TASK = Regression
