"""Floors: what a task scores without a neural network, fitted on the same rows in seconds.

Legend: B rows of a batch, L length, C outputs, D width of a vector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split
from distill.data.tokenized import TokenExamples

Numbers = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]
#: Row numbers (B,) as the rows' ``index`` counts them, and the batch's length L, to the logits that
#: a model's head would give: (B, C), (B, L, C) or (B, D).
Answer = Callable[[Numbers, int], Logits]


class Floor(ABC):
    """A model without a neural network, fitted on a task's training examples.

    Attributes:
        format: what it is, as tables name it.
        macs: multiply-accumulates of one example, about.
    """

    format: ClassVar[str]
    macs: int = 0

    @abstractmethod
    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """All that it learned, as arrays that can be saved without pickling."""

    @abstractmethod
    def on(self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast) -> Answer:
        """What answers to the rows of a split, from their texts, as a model's head would."""

    @property
    def parameters(self) -> int:
        """How many numbers it learned."""
        return sum(a.size for a in self.arrays().values() if a.dtype.kind in "fi")

    @property
    def bytes(self) -> int:
        """Size of an ``.npz`` file, not compressed, of all that it learned."""
        file = BytesIO()
        np.savez(file, allow_pickle=False, **self.arrays())
        return len(file.getbuffer())


def as_array(words: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """Words as the bytes of their lines."""
    return np.frombuffer("\n".join(words).encode(), dtype=np.uint8)
