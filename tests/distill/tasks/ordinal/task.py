from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric, Metric, MetricCollection

from distill.data.reader import Reader
from distill.system import distributed
from distill.tasks.analysis import Analysis
from distill.tasks.base import ProblemType, Task
from distill.tasks.classification.task import LabelAnalysis, LabelReader


class Ordinal(Task):
    """Labels in an order, by the squared earth mover's distance (Hou et al. 2016)."""

    kind: ClassVar[str] = "ordinal"
    reader: ClassVar[type[Reader]] = LabelReader
    problem_type: ClassVar[ProblemType | None] = "single_label_classification"
    analyses: ClassVar[type[Analysis] | None] = LabelAnalysis

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean of the squared differences of the distributions' cumulative sums."""
        true = F.one_hot(labels, self.num_outputs).cumsum(-1)  # (B, C)
        return distributed.mean((logits.float().softmax(-1).cumsum(-1) - true).square().sum(-1))

    def decide(self, logits: Tensor) -> Tensor:
        return (logits.float().softmax(-1).cumsum(-1) < 0.5).sum(-1)

    def scores(self) -> dict[str, Metric]:
        return {"closeness": MeanMetric(), "accuracy": MeanMetric()}

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        away = (self.decide(logits) - batch["labels"]).abs().float()
        metrics["closeness"].update(1 - away / (self.num_outputs - 1))
        metrics["accuracy"].update((away == 0).float())


TASK = Ordinal
