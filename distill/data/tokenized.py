"""Token ids on disk: made once for a text, a tokenizer and a length, then memory-mapped.

A cache folder holds flat arrays of all rows, one after the other, and ``tokens.json`` with the
size and SHA-256 of each, which are checked whenever the folder is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer
from torch.utils.data import Dataset

from distill import digest
from distill.atomic import write_json
from distill.console import Bar
from distill.data.split import TextRows, Texts
from distill.data.stamps import cached_folder, stamp
from distill.data.unknown import UnknownPieces
from distill.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_VERSION = 3
_CHUNK = 2000
_IDS, _TYPES, _OFFSETS, _FACTS = "ids.int32", "types.uint8", "offsets.int64", "tokens.json"
_CUT = "cut.int32"


class TokenRows(Dataset[dict[str, Any]]):
    """Rows of any kind as models read them.

    An item is a dict with ``input_ids`` and ``token_type_ids`` (int arrays of the row's own
    length), ``label`` (what is right for it) and ``index`` (int, the row's number). Rows with
    labels of another shape have a ``collate`` of their own.

    Attributes:
        lengths: tokens of each row, special ones included, int32 of shape (N,).
        digest: SHA-256 (hex) of what the rows are: texts, tokenizer, length limit and labels.
        pad_id: the padding token's id.
    """

    lengths: npt.NDArray[np.int32]
    digest: str
    pad_id: int

    def __len__(self) -> int:
        return len(self.lengths)


class TokenizedDataset(TokenRows):
    """Rows as token ids, read from memory-mapped files; nothing of the corpus is held in Python.

    An item is a dict with ``input_ids`` and ``token_type_ids`` (int arrays of the row's own
    length), ``label`` (a number, or an array of C) and ``index`` (int, the row's number).

    Args:
        folder: a folder that :func:`tokenize` made.
        labels: what is right for each row: int64 or float32 of shape (N,), or float32 (N, C).
        digest: SHA-256 (hex) of what the rows are: texts, tokenizer, length limit and labels.
        pad_id: the padding token's id.

    Attributes:
        lengths: tokens of each row, special ones included, int32 of shape (N,).
        labels: see above.
        digest: see above.
        truncated: how many rows were cut to the length limit.
        whole_lengths: tokens of each cut row before it was cut, int32 of shape (truncated,).
        unknown: what the vocabulary lacks; see :meth:`UnknownPieces.facts`.
        pad_id: see above.
    """

    def __init__(self, folder: Path, labels: npt.NDArray[Any], *, digest: str, pad_id: int) -> None:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        self.folder = folder
        self.labels = labels
        self.digest = digest
        self.pad_id = pad_id
        self.truncated: int = facts["truncated"]
        self.unknown: dict[str, Any] = facts["unknown"]
        self.whole_lengths: npt.NDArray[np.int32] = np.fromfile(folder / _CUT, dtype=np.int32)
        self._ids = np.memmap(folder / _IDS, dtype=np.int32, mode="r")
        self._types = (
            np.memmap(folder / _TYPES, dtype=np.uint8, mode="r")
            if (folder / _TYPES).exists()
            else None
        )
        self._offsets = np.fromfile(folder / _OFFSETS, dtype=np.int64)
        self.lengths = np.diff(self._offsets).astype(np.int32)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, end = self._offsets[index], self._offsets[index + 1]
        ids = self._ids[start:end]
        types = np.zeros_like(ids) if self._types is None else self._types[start:end]
        return {
            "input_ids": ids,
            "token_type_ids": types,
            "label": self.labels[index],
            "index": index,
        }

    def relabelled(self, labels: npt.NDArray[Any]) -> TokenizedDataset:
        """The same rows with other labels; the digest, which stands for the texts, stays."""
        return TokenizedDataset(self.folder, labels, digest=self.digest, pad_id=self.pad_id)

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes open the files themselves; a pickled memmap would be a copy of them.
        return _reopen, (self.folder, self.labels, self.digest, self.pad_id)


def _reopen(folder: Path, labels: npt.NDArray[Any], digest: str, pad_id: int) -> TokenizedDataset:
    return TokenizedDataset(folder, labels, digest=digest, pad_id=pad_id)


def tokenize(
    split: TextRows, tokenizer: PreTrainedTokenizerFast, *, max_length: int
) -> TokenizedDataset:
    """Give a split as token ids, from the cache where its texts were tokenised before.

    Args:
        split: the rows.
        tokenizer: a fast tokenizer.
        max_length: tokens kept of a row, special ones included. Of a pair the longer sentence is
            cut first.

    Raises:
        DataError: the split is empty, the tokenizer takes fewer tokens than ``max_length``, or
            the cache folder cannot be written.
    """
    check_rows(split, tokenizer, max_length=max_length)
    engine = bare_engine(tokenizer)
    engine.enable_truncation(
        max_length, strategy="longest_first", direction=tokenizer.truncation_side
    )
    key = digest.of_json([_VERSION, split.text_digest, digest.of_texts([engine.to_str()])])
    folder = cached_folder(
        "tokens",
        key,
        facts=_FACTS,
        holds="tokens",
        name=split.name,
        fill=lambda new: _fill(new, split, engine, key),
    )
    return TokenizedDataset(
        folder,
        split.targets,
        digest=digest.of_json([key, split.digest()]),
        pad_id=padding_id(tokenizer),
    )


def check_rows(split: TextRows, tokenizer: PreTrainedTokenizerFast, *, max_length: int) -> None:
    """Refuse rows that cannot be tokenised to a length.

    Raises:
        DataError: there are none, or the tokenizer takes fewer tokens than ``max_length``.
    """
    if len(split) == 0:
        raise DataError(f"{split.name}: no rows to tokenise")
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
    split: TextRows, engine: Tokenizer
) -> Iterator[tuple[Texts, list[Encoding], list[int]]]:
    """Rows and their tokens, with the whole lengths of those among them that were cut."""
    endless = Tokenizer.from_str(engine.to_str())
    endless.no_truncation()
    for texts, pairs in split.chunks(_CHUNK):
        rows: list[Any] = texts if pairs is None else list(zip(texts, pairs, strict=True))
        found = engine.encode_batch_fast(rows)
        # Of pairs the pieces cut off cannot be added up, so these few are tokenised once more.
        cut = [row for row, encoded in zip(rows, found, strict=True) if encoded.overflowing]
        yield (texts, pairs), found, [len(whole.ids) for whole in endless.encode_batch_fast(cut)]


def _fill(new: Path, split: TextRows, engine: Tokenizer, key: str) -> None:
    lengths: list[npt.NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
    cut: list[int] = []
    unknown = UnknownPieces(engine)
    names = [_IDS, _TYPES] if split.paired else [_IDS]
    with Bar(f"tokenise {split.name}", len(split)) as bar:
        for texts, rows, whole in _encode(split, engine):
            unknown.add(*texts, rows)
            lengths.append(np.array([len(row.ids) for row in rows], dtype=np.int64))
            cut += whole
            with (new / _IDS).open("ab") as file:
                file.write(np.concatenate([row.ids for row in rows], dtype=np.int32).tobytes())
            if split.paired:
                types = np.concatenate([row.type_ids for row in rows]).astype(np.uint8)
                with (new / _TYPES).open("ab") as file:
                    file.write(types.tobytes())
            bar.advance(len(rows))
    offsets = np.cumsum(np.concatenate(lengths), dtype=np.int64)
    (new / _OFFSETS).write_bytes(offsets.tobytes())
    (new / _CUT).write_bytes(np.array(cut, dtype=np.int32).tobytes())
    facts = {
        "key": key,
        "rows": len(split),
        "truncated": len(cut),
        "unknown": unknown.facts(),
        "files": stamp(new, [*names, _OFFSETS, _CUT]),
    }
    write_json(new / _FACTS, facts)
