"""Text to token ids, as the model was trained on them, with the ``tokenizers`` package alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from distill.files.bad_rows import is_unicode
from distill.system.errors import DataError, ModelError

Ids = npt.NDArray[np.int64]


def pad(sequences: Sequence[Any], length: int, fill: int) -> npt.NDArray[np.int64]:
    """Sequences of at most ``length`` integers, filled up at their ends, int64 (B, L)."""
    padded = np.full((len(sequences), length), fill, dtype=np.int64)
    for place, sequence in enumerate(sequences):
        padded[place, : len(sequence)] = sequence
    return padded


def attention_mask(sequences: Sequence[Any], length: int) -> npt.NDArray[np.int64]:
    """1 at the tokens of each sequence and 0 behind its end, int64 (B, L)."""
    sizes = np.array([len(sequence) for sequence in sequences])
    mask: npt.NDArray[np.int64] = (np.arange(length) < sizes[:, None]).astype(np.int64)
    return mask


class Encoded(Protocol):
    """A row of tokens: their ids, and 0 or 1 each for the first or the second text."""

    @property
    def ids(self) -> Sequence[int]: ...

    @property
    def type_ids(self) -> Sequence[int]: ...

    def __len__(self) -> int: ...


def check_unicode(texts: Sequence[str], pairs: Sequence[str]) -> None:
    """Refuse texts that hold half of a character (a lone surrogate), which is not Unicode.

    Raises:
        DataError: the first such text.
    """
    for name, given in (("texts", texts), ("pairs", pairs)):
        for index, text in enumerate(given):
            if not is_unicode(text):
                raise DataError(f"{name}[{index}] is not valid Unicode: {text!a}")


class TextEncoder:
    """A bundle's tokenizer: cuts at the bundle's length, never pads by itself.

    Args:
        folder: the folder with ``tokenizer.json``.
        max_length: tokens kept of an input, special tokens included; of a pair the longer text is
            cut first.
        pad_id: the id that fills shorter rows.

    Raises:
        ModelError: ``tokenizer.json`` is missing or cannot be read.
    """

    def __init__(self, folder: Path, *, max_length: int, pad_id: int) -> None:
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(f"{folder}: no tokenizer.json; the bundle is not whole")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises plain Exception for whatever is wrong
            raise ModelError(f"{path}: not a tokenizer ({error})") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(
            max_length, strategy="longest_first", direction=truncation_side(folder)
        )
        self.pad_id = pad_id
        self.max_length = max_length

    @property
    def vocabulary(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    @cached_property
    def uncut(self) -> Tokenizer:
        """The tokenizer that cuts nothing."""
        found: Tokenizer = Tokenizer.from_str(self._tokenizer.to_str())
        found.no_truncation()
        return found

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, whole: bool = False
    ) -> list[Encoding]:
        """Tokenise texts, or pairs of texts, each to its own length; see :func:`check_unicode`.

        With ``whole`` nothing is cut, and the characters of each token are known.
        """
        encode = self.uncut.encode_batch if whole else self._tokenizer.encode_batch_fast
        rows: list[Any] = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        try:
            return list(encode(rows))
        except TypeError:
            check_unicode(texts, pairs or ())
            raise

    def batch(self, rows: Sequence[Encoded], *, multiple: int = 1) -> tuple[Ids, Ids, Ids]:
        """``input_ids``, ``attention_mask`` and ``token_type_ids``, int64 (B, L) each.

        L is the longest row's length, rounded up to a multiple of ``multiple`` as far as the model
        reads.
        """
        length = max(len(row) for row in rows)
        length = max(length, min(-(-length // multiple) * multiple, self.max_length))
        return (
            pad([row.ids for row in rows], length, self.pad_id),
            attention_mask(rows, length),
            pad([row.type_ids for row in rows], length, 0),
        )


def truncation_side(folder: Path) -> str:
    """The side at which a bundle's tokenizer cuts what is too long: ``left`` or ``right``."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return "right"
    content = json.loads(path.read_text(encoding="utf-8"))
    return "left" if content.get("truncation_side") == "left" else "right"
