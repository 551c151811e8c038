"""What a pruning method is given of a run, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from distill.section import TrainConfig
from distill.training.base import Batch


class Bench(Protocol):
    """Data, teacher and folders, as a prune stage offers them."""

    @property
    def rows(self) -> int:
        """Number of training examples."""
        ...

    @property
    def mean_length(self) -> int:
        """Tokens of a training example on average."""
        ...

    @property
    def seed(self) -> int:
        """Seeds what is drawn."""
        ...

    @property
    def folder(self) -> Path:
        """The stage's folder, for measurements that are kept."""
        ...

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The student's."""
        ...

    def texts(self, split: Literal["train", "validation"]) -> list[str]:
        """Every text of a split, those of pairs too."""
        ...

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Training batches without end, in the orders of the recipe's seed."""
        ...

    def loss_of(self, model: nn.Module, batch: Batch) -> Tensor:
        """How far a model's outputs are from the teacher's: the mean over the batch, a scalar."""
        ...

    def recovered(
        self, number: int, cut: Callable[[], PreTrainedModel], recover: TrainConfig
    ) -> PreTrainedModel:
        """The model that a round leaves, from its folder where it was done before.

        Args:
            number: which round, from 1.
            cut: gives the model before its recovery.
            recover: how it is recovered.
        """
        ...


@dataclass(frozen=True)
class Pruned:
    """A student that something was taken from.

    Args:
        model: the student.
        facts: what is reported of how it came about; ``notes`` among them are sentences.
        tokenizer: its own, where its vocabulary was trimmed.
    """

    model: PreTrainedModel
    facts: dict[str, Any] = field(default_factory=dict)
    tokenizer: PreTrainedTokenizerFast | None = None
