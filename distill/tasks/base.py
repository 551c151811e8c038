"""What a task is: its outputs, its loss and its metrics.

Shapes: B batch, C outputs of the head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor
from torchmetrics import MetricCollection


class Task(ABC):
    """What is predicted and how it is scored; every metric is better when higher.

    Args:
        labels: the names of the outputs, in the order of their integers.
        primary: the name of the metric that is the score.

    Attributes:
        kind: the task's name in a recipe.
    """

    kind: ClassVar[str]

    def __init__(self, labels: tuple[str, ...], primary: str) -> None:
        self.labels = labels
        self.primary = primary

    @property
    def num_outputs(self) -> int:
        """How many outputs the head has."""
        return len(self.labels)

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss with the true labels.

        Args:
            logits: what the head gives, of shape (B, C); any float type.
            labels: true labels, of shape (B,), int64.

        Returns:
            A scalar in fp32, the mean over the batch.
        """

    @abstractmethod
    def metrics(self) -> MetricCollection:
        """New, empty metrics, among them :attr:`primary`.

        Call ``update(logits, labels)`` with every batch, then ``compute()`` for a dict from name
        to scalar.
        """
