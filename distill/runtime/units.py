"""The units of a text that are tagged: what its tokenizer takes for words, with their characters.

A tokenizer splits a text at spaces and punctuation into words, and these into pieces. A word's tag
is read at its first piece. A text alone says where its units are, so that a model is trained,
scored and used on the same ones.

Legend: N pieces of a text without special ones, U units.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding

from distill.runtime.cuts import Window, owners, windows


@dataclass(frozen=True)
class Units:
    """A text's pieces and units.

    Args:
        ids: the pieces, (N,).
        before: special tokens in front of them.
        after: special tokens behind them.
        firsts: the first piece of each unit, (U,).
        starts: the first character of each unit, (U,).
        ends: the character behind the last of each unit, (U,).
    """

    ids: list[int]
    before: list[int]
    after: list[int]
    firsts: npt.NDArray[np.int64]
    starts: list[int]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True)
class Part:
    """A window of a text, as a model reads it.

    Args:
        ids: the window's pieces between special tokens.
        units: the numbers of the units that are read here, (V,).
        places: where in ``ids`` each of them has its first piece, (V,).
    """

    ids: list[int]
    units: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]

    @property
    def type_ids(self) -> Sequence[int]:
        """All of the first text."""
        return [0] * len(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


def units(encoding: Encoding, text: str) -> Units:
    """What a tokenizer made of a text, as units.

    Args:
        encoding: of the text, with special tokens, neither cut nor padded, with offsets.
        text: the text.
    """
    special = encoding.special_tokens_mask
    front = next((place for place, mark in enumerate(special) if not mark), len(special))
    back = next((place for place, mark in enumerate(reversed(special)) if not mark), 0)
    stop = len(special) - back
    words = encoding.word_ids[front:stop]
    offsets = encoding.offsets[front:stop]
    firsts = [
        place
        for place, word in enumerate(words)
        if word is not None and (place == 0 or word != words[place - 1])
    ]
    lasts = [first - 1 for first in firsts[1:]] + [len(words) - 1]
    return Units(
        ids=encoding.ids[front:stop],
        before=encoding.ids[:front],
        after=encoding.ids[stop:],
        firsts=np.asarray(firsts, dtype=np.int64),
        starts=[offsets[first][0] for first in firsts],
        ends=[_end(text, offsets[last][1]) for last in lasts[: len(firsts)]],
    )


def _end(text: str, end: int) -> int:
    """An end moved behind the accents and joiners that belong to the character before it."""
    joined = itertools.takewhile(_joins, text[end : end + 8])
    return end + sum(1 for _ in joined)


def _joins(sign: str) -> bool:
    # Normalising takes accents away; their characters then belong to no piece.
    return not sign.isascii() and unicodedata.category(sign) in ("Mn", "Me")


def parts(found: Units, *, max_length: int, stride: int) -> list[Part]:
    """Cut a text into windows, each unit read in exactly one of them.

    Args:
        found: the text's units.
        max_length: tokens that the model reads, special ones included.
        stride: pieces that neighbouring windows share, at least.

    Returns:
        One part, unless the text is longer than the model reads; none where it has no units.
    """
    count = len(found.ids)
    cut: list[Window] = windows(count, room(found, max_length), stride)
    owner = owners(count, cut)[found.firsts] if count else np.zeros(0, dtype=np.int64)  # (U,)
    made = []
    for number, (start, end) in enumerate(cut):
        chosen = np.flatnonzero(owner == number)  # (V,)
        ids = [*found.before, *found.ids[start:end], *found.after]
        if len(chosen):
            made.append(Part(ids, chosen, found.firsts[chosen] - start + len(found.before)))
    return made


def room(found: Units, max_length: int) -> int:
    """Pieces that fit beside the special tokens."""
    return max_length - len(found.before) - len(found.after)


def default_stride(max_length: int) -> int:
    """Tokens that windows share where nobody says: a quarter of a window."""
    return max_length // 4
