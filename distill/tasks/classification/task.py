"""One label for a sentence or a pair of sentences.

Shapes: B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split, TaskData
from distill.data.tokenized import TokenExamples
from distill.system import distributed
from distill.system.errors import DataError
from distill.tasks.base import ProblemType, Task
from distill.tasks.classification.analysis import LabelAnalysis
from distill.tasks.classification.config import ClassificationTask
from distill.tasks.floors.base import Floor
from distill.tasks.floors.linear import linear_floor
from distill.tasks.weights import class_weights


class SecondLabelF1(BinaryF1Score):
    r"""F1 of the second of two labels, :math:`2PR/(P+R)`, taken from logits of shape (B, 2)."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch of logits (B, 2) and labels (B,)."""
        super().update(preds.argmax(dim=-1), target)  # (B,)


class Matthews(MulticlassConfusionMatrix):
    r"""Matthews correlation coefficient, 0 where it is not defined, as in scikit-learn.

    With :math:`c` of :math:`s` rows right, and :math:`t_k` rows of label k of which :math:`p_k` are
    predicted,

    .. math:: \frac{c s - \sum_k p_k t_k}{\sqrt{(s^2 - \sum_k p_k^2)(s^2 - \sum_k t_k^2)}}.

    It is not defined where all rows, or all predictions, have one label. torchmetrics gives two
    labels a number of its own there, up to .995 for a model that always predicts the common one.

    Reference:
        Gorodkin 2004, Comparing two K-category assignments by a K-category correlation coefficient.
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """The coefficient over all batches, between -1 and 1."""
        counts = self.confmat.cpu().double()  # (C, C)
        true, predicted, rows = counts.sum(1), counts.sum(0), counts.sum()
        divisor = (rows**2 - predicted @ predicted) * (rows**2 - true @ true)
        if divisor <= 0:
            return divisor.new_zeros(())
        return (counts.trace() * rows - predicted @ true) / divisor.sqrt()


class Classification(Task):
    """Single-label classification by cross-entropy.

    Metrics:

    - ``accuracy``: share of rows whose highest logit is the label's;
    - ``macro_f1``: mean of the labels' F1, over those that stand in the data or the predictions;
    - ``mcc``: Matthews correlation coefficient (GLUE's CoLA);
    - ``f1``: F1 of the second label (GLUE's MRPC and QQP); two labels only.

    What is not defined is 0: ``mcc`` where one label is all there is, F1 of a label without rows
    and predictions.

    Args:
        labels: label names in the order of their integers, at least two.
        metric: which of the metrics is the score.
        weights: how much each label's rows count in the loss; left out, all alike.
        smoothing: share of the target that is spread evenly over all labels.

    Raises:
        DataError: ``f1`` is asked for and there are more than two labels.

    Example:
        >>> task = Classification(["negative", "positive"], metric="accuracy")
        >>> task.num_outputs
        2
    """

    kind: ClassVar[str] = "classification"
    problem_type: ClassVar[ProblemType | None] = "single_label_classification"

    def __init__(
        self,
        labels: Sequence[str],
        metric: str = "accuracy",
        *,
        weights: Sequence[float] | None = None,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(tuple(labels), metric)
        self.weights = None if weights is None else tuple(weights)
        self.smoothing = smoothing
        known = list(self._metrics())
        if metric not in known:
            if metric == "f1":
                raise DataError(
                    f"task.metric: 'f1' needs two labels, these data have {len(self.labels)}; "
                    "write macro_f1, accuracy or mcc"
                )
            raise DataError(f"task.metric: '{metric}' is unknown; known are {', '.join(known)}")

    @classmethod
    def of(
        cls, config: ClassificationTask, labels: Sequence[str], examples: Sequence[Any] = ()
    ) -> Self:
        task = cls(labels, metric=config.metric, smoothing=config.label_smoothing)
        task.weights = class_weights(config.class_weights, labels, examples)
        return task

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        r"""Cross-entropy in fp32, weighted and smoothed where asked; see :meth:`Task.loss`.

        Of a row with label y, probabilities p, weights w and smoothing s:
        :math:`-w_y ((1 - s) \log p_y + \frac{s}{C} \sum_c \log p_c)`. The mean is over the rows,
        not over their weights, so that batches add up whatever labels they have.

        Reference:
            Szegedy et al. 2016, Rethinking the Inception Architecture, section 7 (smoothing).
        """
        rows = F.cross_entropy(
            logits.float(), labels, reduction="none", label_smoothing=self.smoothing
        )  # (B,)
        if self.weights is not None:
            rows = rows * torch.tensor(self.weights, device=rows.device)[labels]
        return distributed.mean(rows)

    @property
    def hard_loss(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        return self.loss if self.weights is not None or self.smoothing else None

    def _metrics(self) -> dict[str, Metric]:
        classes = self.num_outputs
        # Labels were checked when the data were read; torchmetrics' own checks wait for the GPU.
        found: dict[str, Metric] = {
            "accuracy": MulticlassAccuracy(classes, average="micro", validate_args=False),
            "macro_f1": MulticlassF1Score(classes, average="macro", validate_args=False),
            "mcc": Matthews(classes, validate_args=False),
        }
        if classes == 2:
            found["f1"] = SecondLabelF1(validate_args=False)
        return found

    def floor(self, data: TaskData) -> Floor:
        """A linear model on TF-IDF; see :meth:`Task.floor`."""
        return linear_floor(self, data)

    def analysis(
        self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast
    ) -> LabelAnalysis:
        return LabelAnalysis(self, split)

    def metrics(self) -> MetricCollection:
        """The metrics listed above, empty; see :meth:`Task.metrics`."""
        # Compute groups are off: they merge metrics whose counts agree after the first batch,
        # and those of different averages can agree there by chance.
        return MetricCollection(dict(self._metrics()), compute_groups=False)


TASK = Classification
