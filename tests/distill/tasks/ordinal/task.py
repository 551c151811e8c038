from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split, TaskData
from distill.data.tokenized import TokenExamples
from distill.system import distributed
from distill.tasks.analysis import Analysis
from distill.tasks.base import ProblemType, Task
from distill.tasks.classification.analysis import LabelAnalysis
from distill.tasks.floors.base import Floor
from distill.tasks.floors.linear import linear_floor


class Ordinal(Task):
    """Labels in an order, by the squared earth mover's distance (Hou et al. 2016)."""

    kind: ClassVar[str] = "ordinal"
    problem_type: ClassVar[ProblemType | None] = "single_label_classification"

    @classmethod
    def of(cls, config: Any, labels: Sequence[str], examples: Sequence[Any] = ()) -> Self:
        return cls(tuple(labels), config.metric)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean of the squared differences of the distributions' cumulative sums."""
        true = F.one_hot(labels, self.num_outputs).cumsum(-1)  # (B, C)
        return distributed.mean((logits.float().softmax(-1).cumsum(-1) - true).square().sum(-1))

    def decide(self, logits: Tensor) -> Tensor:
        return (logits.float().softmax(-1).cumsum(-1) < 0.5).sum(-1)

    def metrics(self) -> MetricCollection:
        both = {"closeness": MeanMetric(), "accuracy": MeanMetric()}
        return MetricCollection(dict(both), compute_groups=False)

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        away = (self.decide(logits) - batch["labels"]).abs().float()
        metrics["closeness"].update(1 - away / (self.num_outputs - 1))
        metrics["accuracy"].update((away == 0).float())

    def floor(self, data: TaskData) -> Floor:
        return linear_floor(self, data)

    def analysis(
        self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast
    ) -> Analysis:
        return LabelAnalysis(self, split)


TASK = Ordinal
