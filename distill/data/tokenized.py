"""Examples as token ids on disk: made once for a text, a tokenizer and a length."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer
from torch.utils.data import Dataset

from distill.data.array_store import ArrayStore, ArrayWriter, open_store
from distill.data.text_loss import UnknownSubwords, cut_facts, cut_note, unknown_note
from distill.system import digest
from distill.system.console import Bar
from distill.system.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from distill.data.augmentation.generate import AugmentedSplit
    from distill.data.split import Split

    #: What can be tokenised.
    TextExamples: TypeAlias = Split | AugmentedSplit

_VERSION = 5
_CHUNK = 2000
_TYPES = {"ids": "int32", "lengths": "int32", "cut": "int32"}

#: Texts, and the second text of each where examples are pairs.
Texts = tuple[Sequence[str], Sequence[str] | None]


class TokenExamples(Dataset[dict[str, Any]]):
    """Examples of any kind as models read them.

    An item is a dict with ``input_ids`` and ``token_type_ids`` (int arrays of the example's own
    length), ``labels`` and ``index`` (int, the example's number).

    Attributes:
        lengths: tokens of each example, special ones included, int32 of shape (N,).
        digest: SHA-256 (hex) of what the examples are: texts, tokenizer, length limit and labels.
        pad_id: the padding token's id.
        padded: what of an item has one value per token, and the value that fills it up.
    """

    lengths: npt.NDArray[np.int32]
    digest: str
    pad_id: int
    padded: Mapping[str, int] = MappingProxyType({})

    def __len__(self) -> int:
        return len(self.lengths)

    def notes(self, *, max_length: int, limit: int) -> list[str]:
        """What a reader of the results should know, one sentence each.

        Args:
            max_length: ``data.max_length``.
            limit: the most tokens that the model reads.
        """
        return []

    def cut_facts(self, *, limit: int) -> dict[str, Any] | None:
        """What ``max_length`` cut; ``None`` where long texts are read in windows."""
        return None


class StoredExamples(TokenExamples):
    """Token ids in memory-mapped files; nothing of the texts is held in Python.

    Args:
        store: ``ids`` and ``lengths``, and ``types`` where there is a second text.
    """

    def __init__(self, store: ArrayStore, *, digest: str, pad_id: int) -> None:
        self.store, self.digest, self.pad_id = store, digest, pad_id
        self.lengths = np.array(store["lengths"])
        self.starts = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        tokens = slice(self.starts[index], self.starts[index + 1])
        ids = self.store["ids"][tokens]
        types = self.store["types"][tokens] if "types" in self.store else np.zeros_like(ids)
        inputs = {"input_ids": ids, "token_type_ids": types}
        return {**inputs, **self.labels_of(index, tokens), "index": index}

    @abstractmethod
    def labels_of(self, index: int, tokens: slice) -> dict[str, Any]:
        """What an item has beside its inputs, whose tokens stand at ``tokens`` in the store."""


class TokenizedDataset(StoredExamples):
    """Texts as token ids; ``labels`` of an item are a number, or an array of C.

    Args:
        store: what :func:`tokenize` wrote.
        labels: int64 or float32 of shape (N,), or float32 (N, C).

    Attributes:
        whole_lengths: tokens of each cut example before it was cut, int32 (M,).
        unknown: what the vocabulary lacks; see :meth:`UnknownSubwords.facts`.
    """

    def __init__(
        self, store: ArrayStore, labels: npt.NDArray[Any], *, digest: str, pad_id: int
    ) -> None:
        super().__init__(store, digest=digest, pad_id=pad_id)
        self.labels = labels
        self.whole_lengths: npt.NDArray[np.int32] = np.array(store["cut"])
        self.unknown: dict[str, Any] = store.facts["unknown"]

    @property
    def truncated(self) -> int:
        """How many examples were cut to the length limit."""
        return len(self.whole_lengths)

    def labels_of(self, index: int, tokens: slice) -> dict[str, Any]:
        return {"labels": self.labels[index]}

    def relabelled(self, labels: npt.NDArray[Any]) -> TokenizedDataset:
        """The same examples with other labels; the digest, which stands for the texts, stays."""
        return TokenizedDataset(self.store, labels, digest=self.digest, pad_id=self.pad_id)

    def cut_facts(self, *, limit: int) -> dict[str, Any] | None:
        return cut_facts(self.lengths, self.whole_lengths, limit=limit)

    def notes(self, *, max_length: int, limit: int) -> list[str]:
        facts = cut_facts(self.lengths, self.whole_lengths, limit=limit)
        notes = [cut_note(facts, max_length=max_length, limit=limit), unknown_note(self.unknown)]
        return [note for note in notes if note is not None]


def tokenize(
    split: TextExamples, tokenizer: PreTrainedTokenizerFast, *, max_length: int
) -> TokenizedDataset:
    """Give a split as token ids, from the cache where its texts were tokenised before.

    Of a pair the longer sentence is cut first, until both and the special tokens fit.

    Raises:
        DataError: the split is empty, the tokenizer takes fewer tokens than ``max_length``, or
            the cache folder cannot be written.
    """
    check_examples(split, tokenizer, max_length=max_length)
    engine = bare_engine(tokenizer)
    engine.enable_truncation(
        max_length, strategy="longest_first", direction=tokenizer.truncation_side
    )
    key = digest.of_json([_VERSION, split.text_digest, digest.of_texts([engine.to_str()])])
    types = _TYPES | ({"types": "uint8"} if split.paired else {})
    store = open_store(
        "tokens", key, types, name=split.name, fill=lambda writer: _fill(writer, split, engine)
    )
    return TokenizedDataset(
        store,
        split.targets,
        digest=digest.of_json([key, split.digest()]),
        pad_id=padding_id(tokenizer),
    )


def check_examples(
    split: TextExamples, tokenizer: PreTrainedTokenizerFast, *, max_length: int
) -> None:
    """Refuse rows that cannot be tokenised to a length.

    Raises:
        DataError: there are none, or the tokenizer takes fewer tokens than ``max_length``.
    """
    if len(split) == 0:
        raise DataError(f"{split.name}: no examples to tokenise")
    if max_length > tokenizer.model_max_length:
        raise DataError(
            f"data.max_length: {max_length}, but this tokenizer's model takes at most "
            f"{tokenizer.model_max_length} tokens; write data.max_length: "
            f"{tokenizer.model_max_length} or less"
        )


def bare_engine(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """A copy of the tokenizer's engine that neither pads nor cuts.

    The tokenizer's own engine is left alone: it carries whatever limits its last caller, or the
    file it was read from, set (all-MiniLM's pads everything to 128).
    """
    engine: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    engine.no_padding()
    engine.no_truncation()
    return engine


def padding_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The padding token's id; 0 where the tokenizer has none."""
    found = tokenizer.pad_token_id
    return 0 if found is None else int(found)


def _encode(
    split: TextExamples, engine: Tokenizer
) -> Iterator[tuple[Texts, list[Encoding], list[int]]]:
    """Rows and their tokens, with the whole lengths of those among them that were cut."""
    endless = Tokenizer.from_str(engine.to_str())
    endless.no_truncation()
    for texts, pairs in split.chunks(_CHUNK):
        rows: list[Any] = list(texts if pairs is None else zip(texts, pairs, strict=True))
        found = engine.encode_batch_fast(rows)
        # Of pairs the subwords cut off cannot be added up, so these few are tokenised once more.
        cut = [row for row, encoded in zip(rows, found, strict=True) if encoded.overflowing]
        yield (texts, pairs), found, [len(whole.ids) for whole in endless.encode_batch_fast(cut)]


def _fill(writer: ArrayWriter, split: TextExamples, engine: Tokenizer) -> dict[str, Any]:
    unknown = UnknownSubwords(engine)
    with Bar(f"tokenise {split.name}", len(split)) as bar:
        for texts, rows, whole in _encode(split, engine):
            unknown.add(*texts, rows)
            writer.append(
                ids=np.concatenate([row.ids for row in rows]),
                lengths=[len(row.ids) for row in rows],
                cut=whole,
            )
            if split.paired:
                writer.append(types=np.concatenate([row.type_ids for row in rows]))
            bar.advance(len(rows))
    return {"unknown": unknown.facts()}
