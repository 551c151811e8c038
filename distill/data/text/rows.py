"""Packed sequences of a text as a data set, read from memory-mapped files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from distill.data.batches import BucketSampler, Order
from distill.data.text.corpus import Corpus
from distill.system import digest
from distill.system.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class SpecialTokens:
    """The ids of a tokenizer's special tokens; ``mask`` is ``None`` where there is none.

    Raises:
        DataError: it lacks one that sequences are made with.
    """

    cls: int
    sep: int
    pad: int
    mask: int | None

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        for name in ("cls", "sep", "pad", "mask"):
            found = getattr(tokenizer, f"{name}_token_id")
            if found is None and name != "mask":
                raise DataError(f"the tokenizer has no {name} token; sequences need one")
            setattr(self, name, found)


#: What a sequence is asked for by: (epoch, number). It may differ from epoch to epoch.
Key = tuple[int, int]


class TextSampler(BucketSampler):
    """Batches of a text's sequences, each given as :data:`Key`; see :class:`BucketSampler`."""

    def __iter__(self) -> Iterator[list[Any]]:
        for batch in super().__iter__():
            yield [(self.epoch, row) for row in batch]


class TextSequences(Dataset[dict[str, Any]]):
    """Sequences ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]`` of a corpus.

    An item, asked for by (epoch, number) or by its number alone, is a dict with ``input_ids`` and
    ``token_type_ids`` (int arrays of the row's own length) and ``index`` (int).

    Args:
        corpus: the tokens.
        rows: (N, 4), see :mod:`distill.data.text.corpus`.
        special: the special tokens.
    """

    padded: ClassVar[Mapping[str, int]] = {"mlm_labels": -100}

    def __init__(self, corpus: Corpus, rows: npt.NDArray[np.int64], special: SpecialTokens) -> None:
        self.corpus, self.rows, self.special = corpus, rows, special
        self.pad_id = special.pad

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        index = key if isinstance(key, int) else key[1]
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, middle, end, _ = self.rows[index].tolist()
        return self.sequence(self.corpus.ids[start:middle], self.corpus.ids[middle:end], index)

    def sequence(
        self, first: npt.NDArray[Any], second: npt.NDArray[Any], index: int
    ) -> dict[str, Any]:
        """Two segments (B may be empty) with their special tokens."""
        special = self.special
        size = len(first) + 2 + (len(second) + 1 if len(second) else 0)
        ids = np.full(size, special.sep, dtype=np.int64)  # (L,)
        types = np.zeros(size, dtype=np.int64)  # (L,)
        ids[0] = special.cls
        ids[1 : len(first) + 1] = first
        ids[len(first) + 2 : len(first) + 2 + len(second)] = second
        types[len(first) + 2 :] = 1
        return {"input_ids": ids, "token_type_ids": types, "index": index}

    def sampler(self, batch_size: int, **order: Unpack[Order]) -> TextSampler:
        lengths = (self.rows[:, 2] - self.rows[:, 0]).astype(np.int32)
        return TextSampler(lengths, batch_size, **order)

    def take(self, limit: int | None) -> TextSequences:
        """So many examples, evenly spread over the text; all where ``limit`` is none or larger."""
        if limit is None or limit >= len(self):
            return self
        spread = np.arange(limit, dtype=np.int64) * len(self) // limit
        return TextSequences(self.corpus, self.rows[spread], self.special)

    def digest(self) -> str:
        """SHA-256 (hex) of what the rows are."""
        ends = self.rows[[0, -1]].tolist() if len(self) else []
        return digest.of_json([self.corpus.key, len(self), ends, vars(self.special)])
