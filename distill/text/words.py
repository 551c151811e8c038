"""The words of a text that are tagged, and windows of a text that is longer than a model reads.

A tokenizer splits a text at spaces and punctuation into words, and these into subwords. Where it
does not split at punctuation (XLM-RoBERTa's), a subword that begins or follows a punctuation mark
begins a word too, so that "Paris," is two words in any case. A word's tag is read at its first
subword. The text alone says where its words are, so that a model is
trained, scored and served on the same ones.

Legend: N subwords of a text without special tokens, W words, K windows.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding

Window = tuple[int, int]


def windows(count: int, size: int, stride: int) -> list[Window]:
    """Cut a row of tokens into windows that overlap, as ``tokenizers`` truncates with a stride.

    Gives the first token of each and the one behind its last; all are full but the last one, which
    ends with the text.

    Raises:
        ValueError: a window would begin where the one before it does.

    Example:
        >>> windows(10, 6, 3)
        [(0, 6), (3, 9), (6, 10)]
    """
    if not 0 <= stride < size:
        raise ValueError(f"windows of {size} tokens cannot overlap by {stride}")
    starts = range(0, max(count - stride, 1), size - stride)
    return [(start, min(start + size, count)) for start in starts]


def owners(count: int, cut: list[Window]) -> npt.NDArray[np.int64]:
    """The number of the window that each token is read in, (N,): where it has the most context.

    A token's context is the tokens up to the nearer edge of a window; at the beginning and the end
    of the text nothing is missing, so that an edge there does not count. Of equals it is the first.
    """
    tokens = np.arange(count)
    context = np.full((len(cut), count), -1, dtype=np.int64)  # (K, N)
    for number, (start, end) in enumerate(cut):
        inside = tokens[start:end]
        left = inside - start if start else np.full_like(inside, count)
        right = end - 1 - inside if end < count else np.full_like(inside, count)
        context[number, start:end] = np.minimum(left, right)
    found: npt.NDArray[np.int64] = context.argmax(axis=0)
    return found


@dataclass(frozen=True)
class Words:
    """A text's subwords and words."""

    ids: list[int]  # the subwords, (N,)
    prefix: list[int]  # special tokens in front of them
    suffix: list[int]  # special tokens behind them
    firsts: npt.NDArray[np.int64]  # the first subword of each word, (W,)
    starts: list[int]  # the first character of each word, (W,)
    ends: list[int]  # the character behind the last of each word, (W,)
    behind_first: list[int]  # the character behind each word's first subword, (W,)

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True)
class WordWindow:
    """A window of a text, as a model reads it."""

    ids: list[int]  # the window's subwords between special tokens
    words: npt.NDArray[np.int64]  # the numbers of the words whose tags are read here, (V,)
    positions: npt.NDArray[np.int64]  # where in ``ids`` each of them has its first subword, (V,)

    @property
    def type_ids(self) -> Sequence[int]:
        """All of the first text."""
        return [0] * len(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


def words_of(encoding: Encoding, text: str) -> Words:
    """The words that a tokenizer splits a text into.

    Args:
        encoding: with special tokens, neither cut nor padded, with offsets.
        text: what it is of.
    """
    special = encoding.special_tokens_mask
    front = next((at for at, mask in enumerate(special) if not mask), len(special))
    back = next((at for at, mask in enumerate(reversed(special)) if not mask), 0)
    stop = len(special) - back
    numbers = encoding.word_ids[front:stop]
    offsets = [without_space(text, span) for span in encoding.offsets[front:stop]]
    firsts = [
        at
        for at, number in enumerate(numbers)
        if number is not None
        and offsets[at][0] < offsets[at][1]
        and (at == 0 or number != numbers[at - 1] or _parts(text, offsets, at))
    ]
    lasts = [first - 1 for first in firsts[1:]] + [len(numbers) - 1]
    return Words(
        ids=encoding.ids[front:stop],
        prefix=encoding.ids[:front],
        suffix=encoding.ids[stop:],
        firsts=np.asarray(firsts, dtype=np.int64),
        starts=[offsets[first][0] for first in firsts],
        ends=[
            _end(text, max(end for start, end in offsets[first : last + 1] if start < end))
            for first, last in zip(firsts, lasts, strict=False)
        ],
        behind_first=[offsets[first][1] for first in firsts],
    )


def without_space(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """A subword's characters without the space in front, which some tokenizers count to it."""
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    return (start, end) if start < end else (span[0], span[0])


def _parts(text: str, offsets: Sequence[tuple[int, int]], at: int) -> bool:
    """Whether a punctuation mark parts a subword from the one before it in the same word."""
    start, before = offsets[at][0], offsets[at - 1]
    if before[0] == before[1]:
        return True  # only a space: the word begins here
    return before[1] <= start and (_is_mark(text[start]) or _is_mark(text[before[1] - 1]))


def _is_mark(character: str) -> bool:
    """As BERT's tokenizer tells punctuation: Unicode's, and all signs of ASCII."""
    if character.isascii():
        return character.isprintable() and not (character.isalnum() or character.isspace())
    return unicodedata.category(character).startswith("P")


def _end(text: str, end: int) -> int:
    """An end moved behind the accents and joiners that belong to the character before it."""
    joined = itertools.takewhile(_joins, text[end : end + 8])
    return end + sum(1 for _ in joined)


def _joins(character: str) -> bool:
    # Normalising takes accents away; their characters then belong to no subword.
    return not character.isascii() and unicodedata.category(character) in ("Mn", "Me")


def word_windows(words: Words, *, max_length: int, stride: int) -> list[WordWindow]:
    """Cut a text into windows; the tag of each word is read in exactly one of them.

    One window, unless the text is longer than the model reads; none where it has no words.
    """
    count = len(words.ids)
    cut = windows(count, room(words, max_length), stride)
    owner = owners(count, cut)[words.firsts] if count else np.zeros(0, dtype=np.int64)  # (W,)
    made = []
    for number, (start, end) in enumerate(cut):
        own = np.flatnonzero(owner == number)  # (V,)
        ids = [*words.prefix, *words.ids[start:end], *words.suffix]
        if len(own):
            made.append(WordWindow(ids, own, words.firsts[own] - start + len(words.prefix)))
    return made


def room(words: Words, max_length: int) -> int:
    """Subwords that fit beside the special tokens."""
    return max_length - len(words.prefix) - len(words.suffix)


def default_stride(max_length: int) -> int:
    """Tokens that windows share where the recipe does not say: a quarter of a window."""
    return max_length // 4
