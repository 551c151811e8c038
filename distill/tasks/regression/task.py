"""A number for a sentence or a pair of sentences, such as how alike the two are.

Shapes: B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split, TaskData
from distill.data.tokenized import TokenExamples
from distill.system import distributed
from distill.system.errors import DataError, ModelError
from distill.tasks.base import LogitsLoss, ProblemType, Task
from distill.tasks.correlation import Correlation
from distill.tasks.floors.base import Floor
from distill.tasks.floors.linear import linear_floor
from distill.tasks.regression.analysis import NumberAnalysis
from distill.tasks.regression.config import RegressionTask
from students.heads import activation_of

#: The name of the one output.
OUTPUT = "score"
_SCORES = ("pearson", "spearman")


class _Flat:
    """Takes logits of shape (B, 1)."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch of logits (B, 1) and numbers (B,)."""
        super().update(preds.squeeze(-1).float(), target.float())  # type: ignore[misc]


class _Squared(_Flat, MeanSquaredError):  # noqa: N818 - a measure, not an exception
    pass


class _Absolute(_Flat, MeanAbsoluteError):  # noqa: N818 - a measure, not an exception
    pass


class Regression(Task):
    """One number by mean squared error.

    Metrics:

    - ``pearson``: correlation of predictions and numbers (GLUE's STS-B);
    - ``spearman``: correlation of their ranks, the mean rank where several are equal;
    - a correlation that is not defined, as all predictions are the same, counts as 0;
    - ``mse``, ``mae``: mean squared and absolute error, told beside the score.

    Args:
        metric: ``pearson`` or ``spearman``, the score.
        bounds: the smallest and the largest number of the scale, to which the runtime clips its
            predictions; ``None`` clips nothing. Scores are of unclipped ones.

    Raises:
        DataError: there is no such metric.
    """

    kind: ClassVar[str] = "regression"
    problem_type: ClassVar[ProblemType | None] = "regression"
    logits_loss: ClassVar[LogitsLoss] = "mse"

    def __init__(
        self, metric: str = "pearson", *, bounds: tuple[float, float] | None = None
    ) -> None:
        super().__init__((OUTPUT,), metric)
        self.bounds = bounds
        if metric not in _SCORES:
            raise DataError(f"task.metric: '{metric}' is unknown; known are {', '.join(_SCORES)}")

    @classmethod
    def of_model(cls, labels: Sequence[str], config: Any) -> tuple[list[str], dict[str, Any]]:
        """See :meth:`Task.of_model`: the activation of the one output."""
        if len(labels) != 1:
            raise ModelError(f"a regression has one output, and its head has {len(labels)}")
        return list(labels), {"activation": activation_of(config)}

    @classmethod
    def of(
        cls, config: RegressionTask, labels: Sequence[str], examples: Sequence[Any] = ()
    ) -> Self:
        bounds = None if config.bounds is None else (config.bounds[0], config.bounds[1])
        return cls(metric=config.metric, bounds=bounds)

    @property
    def settings(self) -> dict[str, Any]:
        """The bounds."""
        return {"bounds": None if self.bounds is None else list(self.bounds)}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error of logits (B, 1) and numbers (B,) in fp32."""
        return distributed.mean((logits.float().squeeze(-1) - labels.float()).square())

    def _metrics(self) -> dict[str, Any]:
        return {
            "pearson": Correlation("pearson"),
            "spearman": Correlation("spearman"),
            "mse": _Squared(),
            "mae": _Absolute(),
        }

    def floor(self, data: TaskData) -> Floor:
        """A linear model on TF-IDF; see :meth:`Task.floor`."""
        return linear_floor(self, data)

    def analysis(
        self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast
    ) -> NumberAnalysis:
        return NumberAnalysis(self, split)

    def metrics(self) -> MetricCollection:
        """The metrics listed above, empty; see :meth:`Task.metrics`."""
        return MetricCollection(self._metrics(), compute_groups=False)

    def decide(self, logits: Tensor) -> Tensor:
        """The number itself, (B,)."""
        return logits.squeeze(-1)


TASK = Regression
