"""Any number of labels for a sentence or a pair of sentences.

Shapes: B batch, C labels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MultilabelExactMatch,
    MultilabelF1Score,
    MultilabelPrecision,
    MultilabelRecall,
)
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split, TaskData
from distill.data.tokenized import TokenExamples
from distill.system import distributed
from distill.system.errors import DataError
from distill.tasks.base import ProblemType, Task
from distill.tasks.floors.base import Floor
from distill.tasks.floors.linear import linear_floor
from distill.tasks.multi_label.analysis import LabelsAnalysis
from distill.tasks.multi_label.config import MultiLabelTask
from distill.tasks.multi_label.thresholds import USUAL, ThresholdScores, decided, thresholds_of
from distill.tasks.weights import positive_weights

#: Labels whose thresholds a log tells.
_TOLD = 8


class MultiLabel(Task):
    r"""Labels that stand or fall by themselves: binary cross-entropy for each.

    A label is predicted where its probability :math:`\sigma(z)` is above its threshold.

    Metrics:

    - ``micro_f1``: F1 over all labels of all rows together;
    - ``macro_f1``: mean of the labels' F1;
    - ``precision``, ``recall``: over all labels of all rows together;
    - ``exact``: share of examples all of whose labels are right.

    Args:
        labels: label names in the order of their columns, at least two.
        metric: which of the metrics is the score.
        thresholds: of each label, between 0 and 1, or one for all; ``auto`` chooses them for each
            model, by the best F1 of each label on the validation examples. Until then they are 0.5,
            but the metrics are those with the thresholds that are best on the rows they see.
        weights: how much having each label counts against not having it; left out, as much.

    Raises:
        DataError: there is no such metric, or there are not as many thresholds as labels.
    """

    kind: ClassVar[str] = "multi_label"
    problem_type: ClassVar[ProblemType | None] = "multi_label_classification"

    def __init__(
        self,
        labels: Sequence[str],
        metric: str = "micro_f1",
        *,
        thresholds: float | Mapping[str, float] | Literal["auto"] = USUAL,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(tuple(labels), metric)
        self.weights = None if weights is None else tuple(weights)
        known = list(self._metrics())
        if metric not in known:
            raise DataError(f"task.metric: '{metric}' is unknown; known are {', '.join(known)}")
        self.chooses, self.was_chosen = thresholds == "auto", False
        self.thresholds = self._thresholds(USUAL if thresholds == "auto" else thresholds)

    def _thresholds(self, given: float | Mapping[str, float]) -> tuple[float, ...]:
        if not isinstance(given, Mapping):
            return (float(given),) * len(self.labels)
        unknown = sorted(set(given) - set(self.labels))
        if unknown:
            raise DataError(
                f"task.thresholds: '{unknown[0]}' is no label; labels are {', '.join(self.labels)}"
            )
        return tuple(float(given.get(name, USUAL)) for name in self.labels)

    def chosen(self, logits: Tensor, labels: Tensor) -> dict[str, Any]:
        """Of ``auto`` the best threshold of each label on these rows; see :meth:`Task.chosen`."""
        return {"thresholds": list(thresholds_of(logits, labels))} if self.chooses else {}

    def settled(self, chosen: Mapping[str, Any]) -> Self:
        """The task with these thresholds, where it has to choose; see :meth:`Task.settled`."""
        if not self.chooses or "thresholds" not in chosen:
            return self
        found = copy.copy(self)
        found.chooses, found.was_chosen = False, True
        found.thresholds = tuple(float(one) for one in chosen["thresholds"])
        return found

    def told_choice(self) -> str:
        """The thresholds of some labels; see :meth:`Task.told_choice`."""
        if not self.was_chosen:
            return ""
        pairs = zip(self.labels[:_TOLD], self.thresholds, strict=False)
        more = f" and {len(self.labels) - _TOLD} more" if len(self.labels) > _TOLD else ""
        return f"thresholds {', '.join(f'{name} {bar:.2f}' for name, bar in pairs)}{more}"

    @classmethod
    def of(
        cls, config: MultiLabelTask, labels: Sequence[str], examples: Sequence[Any] = ()
    ) -> Self:
        task = cls(labels, metric=config.metric, thresholds=config.thresholds)
        task.weights = positive_weights(config.positive_weights, labels, examples)
        return task

    @property
    def settings(self) -> dict[str, Any]:
        """The threshold of each label."""
        return {"thresholds": list(self.thresholds)}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        r"""Binary cross-entropy of logits (B, C) and labels (B, C) of 0 and 1, mean over B x C.

        With weights w, of one label: :math:`-w_c y \log \sigma(z) - (1 - y) \log(1 - \sigma(z))`.
        """
        weights = None
        if self.weights is not None:
            weights = torch.tensor(self.weights, device=logits.device)  # (C,)
        found = F.binary_cross_entropy_with_logits(
            logits.float(), labels.float(), reduction="none", pos_weight=weights
        )
        return distributed.mean(found)

    @property
    def hard_loss(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        return self._comparable_loss if self.weights is not None else None

    def _comparable_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """:meth:`loss` of what :meth:`comparable` gives: (B * C, 2) and (B * C,)."""
        scores = (logits[:, 1] - logits[:, 0]).view(-1, self.num_outputs)  # (B, C)
        return self.loss(scores, labels.view(-1, self.num_outputs))

    def _metrics(self) -> dict[str, Metric]:
        # Predictions are 0 and 1 by then; the data were checked when they were read.
        count, quick = self.num_outputs, False
        return {
            "micro_f1": MultilabelF1Score(count, average="micro", validate_args=quick),
            "macro_f1": MultilabelF1Score(count, average="macro", validate_args=quick),
            "precision": MultilabelPrecision(count, average="micro", validate_args=quick),
            "recall": MultilabelRecall(count, average="micro", validate_args=quick),
            "exact": MultilabelExactMatch(count, validate_args=quick),
        }

    def floor(self, data: TaskData) -> Floor:
        """A linear model on TF-IDF; see :meth:`Task.floor`."""
        return linear_floor(self, data)

    def analysis(
        self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast
    ) -> LabelsAnalysis:
        return LabelsAnalysis(self, split)

    def metrics(self) -> MetricCollection:
        """The metrics listed above, empty; see :meth:`Task.metrics`."""
        if self.chooses:
            return MetricCollection({"best": ThresholdScores(self._metrics)}, compute_groups=False)
        return MetricCollection(dict(self._metrics()), compute_groups=False)

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        """Count a batch by each label's own threshold."""
        if self.chooses:
            metrics.update(logits, batch["labels"])
            return
        metrics.update(self.decide(logits).float(), batch["labels"].long())

    def decide(self, logits: Tensor) -> Tensor:
        """1 where a label is predicted and 0 elsewhere, (B, C)."""
        return decided(logits, self.thresholds)

    def comparable(self, logits: Tensor, batch: Mapping[str, Any]) -> Tensor:
        r"""Each label as two outcomes, logits (0, z), so that their softmax is its sigmoid.

        The soft cross-entropy of these is the binary cross-entropy on the teacher's probabilities.

        Returns:
            (B * C, 2).
        """
        flat = logits.flatten()  # (B * C,)
        return torch.stack([torch.zeros_like(flat), flat], dim=-1)

    def comparable_labels(self, batch: Mapping[str, Any]) -> Tensor | None:
        """0 or 1 for each label of each row, (B * C,)."""
        labels = batch.get("labels")
        return None if labels is None else labels.flatten().long()


TASK = MultiLabel
