"""What a pruning method is given of a run, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from distill.data.tokenized import TokenExamples
from distill.section import TrainConfig
from distill.training.base import Batch


@dataclass(frozen=True)
class Bench:
    """Data, teacher and folders, as a prune stage offers them."""

    examples: Callable[[], TokenExamples]  # gives the training examples as the student reads them
    seed: int
    folder: Path  # the stage's, for measurements that are kept
    tokenizer: PreTrainedTokenizerFast
    #: every text of the split ``train`` or ``validation``, those of pairs too
    texts: Callable[[str], list[str]]
    #: training batches of so many examples without end, in the orders of the recipe's seed
    batches: Callable[[int], Iterator[Batch]]
    #: how far a model's outputs are from the teacher's: the mean over the batch
    loss_of: Callable[[nn.Module, Batch], Tensor]
    #: the model that a round leaves, from its folder where it was done before; called with the
    #: round's number from 1, what gives the model before its recovery, and how it is recovered
    recovered: Callable[[int, Callable[[], PreTrainedModel], TrainConfig], PreTrainedModel]

    @property
    def rows(self) -> int:
        """Number of training examples."""
        return len(self.examples())

    @property
    def mean_length(self) -> int:
        """Tokens of a training example on average."""
        return max(1, round(float(self.examples().lengths.mean())))


@dataclass(frozen=True)
class Pruned:
    """A student that something was taken from."""

    model: PreTrainedModel
    #: what is reported of how it came about; ``notes`` among them are sentences
    facts: dict[str, Any] = field(default_factory=dict)
    tokenizer: PreTrainedTokenizerFast | None = None  # its own, where its vocabulary was trimmed
