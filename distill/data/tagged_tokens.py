"""Words with tags as token ids: made once for a text, a tokenizer and a length.

A row that is longer than a model reads becomes several windows, and each of its words is labelled
in one of them. Legend: F windows of all rows, B windows of a batch, L length, W words of a row.
"""

from __future__ import annotations

import bisect
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from distill import digest
from distill.atomic import write_json
from distill.console import Bar
from distill.data.batches import Collate
from distill.data.stamps import cached_folder, stamp
from distill.data.tagged import TaggedSplit
from distill.data.tokenized import TokenRows, bare_engine, check_rows, padding_id
from distill.errors import DataError
from distill.text.tags import Span, TagSet
from distill.text.words import Words, WordWindow, default_stride, room, word_windows, words_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

logger = logging.getLogger("distill")

#: The label of a token that has none.
IGNORED = -100

_VERSION = 1
_CHUNK = 1000
_IDS, _LABELS, _OFFSETS, _ROWS = "ids.int32", "labels.int16", "offsets.int64", "rows.int64"
_FACTS = "tags.json"


class TaggedDataset(TokenRows):
    """Windows of rows as token ids, read from memory-mapped files.

    An item has ``input_ids``, ``token_type_ids`` and ``label`` of the window's length, the label a
    tag at the first token of each word that is read in this window and :data:`IGNORED` elsewhere;
    ``index``, the window's number; ``row``, the row's number; and ``alone``, whether the row is in
    one window.

    Args:
        folder: a folder that :func:`tag_tokens` made.
        digest: SHA-256 (hex) of what the windows are.
        pad_id: the padding token's id.

    Attributes:
        lengths: tokens of each window, special ones included, int32 (F,).
        labels: the label of each token of all windows, int16, one window after the other.
        rows: the row of each window, int64 (F,); windows of a row stand in their order.
        lost: how many entities have no token.
    """

    def __init__(self, folder: Path, *, digest: str, pad_id: int) -> None:
        self.folder, self.digest, self.pad_id = folder, digest, pad_id
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        self.lost: int = facts["lost"]
        self._ids = np.memmap(folder / _IDS, dtype=np.int32, mode="r")
        self.labels = np.memmap(folder / _LABELS, dtype=np.int16, mode="r")
        self._offsets = np.fromfile(folder / _OFFSETS, dtype=np.int64)
        self.lengths = np.diff(self._offsets).astype(np.int32)
        self.rows: npt.NDArray[np.int64] = np.fromfile(folder / _ROWS, dtype=np.int64)
        self._alone = np.bincount(self.rows)[self.rows] == 1  # (F,)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, end = self._offsets[index], self._offsets[index + 1]
        ids = self._ids[start:end]
        return {
            "input_ids": ids,
            "token_type_ids": np.zeros_like(ids),
            "label": self.labels[start:end],
            "index": index,
            "row": int(self.rows[index]),
            "alone": bool(self._alone[index]),
        }

    def collate(self) -> Callable[[Sequence[dict[str, Any]]], dict[str, Tensor]]:
        """What makes tensors of a batch."""
        return CollateTags(self.pad_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.folder, self.digest, self.pad_id)


def _reopen(folder: Path, digest: str, pad_id: int) -> TaggedDataset:
    return TaggedDataset(folder, digest=digest, pad_id=pad_id)


class CollateTags(Collate):
    """Make tensors of a batch's windows; see :class:`~distill.data.batches.Collate`."""

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Pad and stack.

        Returns:
            What :class:`~distill.data.batches.Collate` gives, with ``labels`` of shape (B, L), and
            ``row`` and ``alone`` of shape (B,).
        """
        batch = super().__call__([{**row, "label": 0} for row in rows])
        labels = np.full(tuple(batch["input_ids"].shape), IGNORED, dtype=np.int64)  # (B, L)
        for place, row in enumerate(rows):
            labels[place, : len(row["label"])] = row["label"]
        return {
            **batch,
            "labels": torch.from_numpy(labels),
            "row": torch.tensor([row["row"] for row in rows], dtype=torch.int64),
            "alone": torch.tensor([row["alone"] for row in rows]),
        }


@dataclass(frozen=True)
class _Reader:
    """How texts are read: the tokenizer's engine, and the limits of a window."""

    engine: Tokenizer
    max_length: int
    stride: int

    @property
    def key(self) -> list[Any]:
        return [digest.of_texts([self.engine.to_str()]), self.max_length, self.stride]


def tag_tokens(
    split: TaggedSplit, tokenizer: PreTrainedTokenizerFast, *, max_length: int
) -> TaggedDataset:
    """Give a split as token ids with labels, from the cache where it was tokenised before.

    Args:
        split: the rows.
        tokenizer: a fast tokenizer.
        max_length: tokens of a window, special ones included.

    Raises:
        DataError: the split is empty, the tokenizer takes fewer tokens than ``max_length``,
            windows would overlap all over, no row has a token, or the cache folder cannot be
            written.
    """
    check_rows(split, tokenizer, max_length=max_length)
    stride = default_stride(max_length) if split.stride is None else split.stride
    reader = _Reader(bare_engine(tokenizer), max_length, stride)
    key = digest.of_json(["tags", _VERSION, split.digest(), *reader.key])
    folder = cached_folder(
        "tokens",
        key,
        facts=_FACTS,
        holds="tokens",
        name=split.name,
        fill=lambda new: _fill(new, split, reader, key),
    )
    found = TaggedDataset(folder, digest=key, pad_id=padding_id(tokenizer))
    _tell(split, found, reader)
    return found


def _tell(split: TaggedSplit, found: TaggedDataset, reader: _Reader) -> None:
    """What a reader of the results should know about the rows."""
    counts = np.bincount(found.rows)
    if (long := int((counts > 1).sum())) > 0:
        logger.info(
            "data: %s: %d of %d rows are longer than %d tokens; they are read in %d windows",
            split.name, long, len(split), reader.max_length, int(counts[counts > 1].sum()),
        )  # fmt: skip
    if found.lost:
        logger.info(
            "data: %s: %d entities have no token the tokenizer knows how to make, and are left out",
            split.name, found.lost,
        )  # fmt: skip


def _fill(new: Path, split: TaggedSplit, reader: _Reader, key: str) -> None:
    lengths, rows, lost = [0], list[int](), 0
    with (
        (new / _IDS).open("wb") as ids,
        (new / _LABELS).open("wb") as labels,
        Bar(f"tokenise {split.name}", len(split)) as bar,
    ):
        for row, found in enumerate(_encode(split, reader.engine)):
            tags, missed = word_tags(split.entities(row), found, split.tag_set)
            lost += missed
            for part in _parts(found, reader):
                ids.write(np.asarray(part.ids, dtype=np.int32).tobytes())
                labels.write(labels_of(part, tags).tobytes())
                lengths.append(len(part))
                rows.append(row)
            bar.advance(1)
    if not rows:
        raise DataError(f"{split.name}: the tokenizer makes no token of any word")
    (new / _OFFSETS).write_bytes(np.cumsum(lengths, dtype=np.int64).tobytes())
    (new / _ROWS).write_bytes(np.asarray(rows, dtype=np.int64).tobytes())
    facts = {"key": key, "rows": len(split), "lost": lost}
    write_json(new / _FACTS, {**facts, "files": stamp(new, [_IDS, _LABELS, _OFFSETS, _ROWS])})


def _parts(words: Words, reader: _Reader) -> list[WordWindow]:
    if reader.stride >= room(words, reader.max_length):
        raise DataError(
            f"task.stride: windows of {reader.max_length} tokens cannot share {reader.stride}; "
            "write less, or raise data.max_length"
        )
    return word_windows(words, max_length=reader.max_length, stride=reader.stride)


def _encode(split: TaggedSplit, engine: Tokenizer) -> Iterator[Words]:
    for texts, _ in split.chunks(_CHUNK):
        # Not encode_batch_fast: that one leaves the characters out.
        for text, encoding in zip(texts, engine.encode_batch(texts), strict=True):
            yield words_of(encoding, text)


def word_tags(
    entities: Sequence[tuple[int, int, int]], words: Words, tag_set: TagSet
) -> tuple[list[int], int]:
    """The tag of each of the tokenizer's words of a row.

    A word of the data may be several of the tokenizer's; of an entity the first one begins it.

    Args:
        entities: types' numbers with the first character of each and the one behind its last.
        words: the row's words.
        tag_set: the tags.

    Returns:
        The tags (W,), and the number of entities that no word begins in.
    """
    spans = []
    for kind, start, end in entities:
        first = bisect.bisect_left(words.starts, start)
        behind = bisect.bisect_left(words.starts, end)
        if first < behind:
            spans.append(Span(kind, first, behind))
    return tag_set.write(spans, len(words)), len(entities) - len(spans)


def labels_of(window: WordWindow, tags: Sequence[int]) -> npt.NDArray[np.int16]:
    """The label of each token of a window, (L,)."""
    labels = np.full(len(window), IGNORED, dtype=np.int16)
    labels[window.positions] = np.asarray(tags, dtype=np.int16)[window.words]
    return labels
