"""Rows of words with tags, as every source gives them and every stage takes them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from distill import digest
from distill.data.split import Texts
from distill.runtime.tags import TagSet

#: Beginnings of the names of characters that are written without spaces between words.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


@dataclass(frozen=True)
class TaggedSplit:
    """Rows of one split, in the order of their source.

    Args:
        name: ``train``, ``validation`` or ``test``.
        words: the words of each row.
        tags: the tag of each word, an index into ``tag_set.labels``.
        tag_set: the tags and their scheme.
        stride: pieces that neighbouring windows of a long row share; ``None`` for the default.

    Attributes:
        pairs: none; rows are single texts.
        paired: whether rows are pairs: no.
    """

    name: str
    words: list[list[str]]
    tags: list[list[int]]
    tag_set: TagSet
    stride: int | None = None

    pairs: None = None
    paired: bool = False

    def __len__(self) -> int:
        return len(self.words)

    @property
    def labels(self) -> list[list[int]]:
        """The tags."""
        return self.tags

    @cached_property
    def texts(self) -> list[str]:
        """The text of each row: its words, joined as they would be written."""
        return [join(words)[0] for words in self.words]

    @property
    def targets(self) -> npt.NDArray[Any]:
        """How many words each row has, (N,); tags are made labels of tokens with the tokens."""
        return np.asarray([len(words) for words in self.words], dtype=np.int64)

    def chunks(self, size: int) -> Iterator[Texts]:
        """The texts in order, ``size`` rows at a time."""
        for start in range(0, len(self), size):
            yield self.texts[start : start + size], None

    @cached_property
    def text_digest(self) -> str:
        """SHA-256 (hex) of the words."""
        return digest.of_json([digest.of_texts(words) for words in self.words])

    @cached_property
    def _digest(self) -> str:
        labels, scheme = list(self.tag_set.labels), self.tag_set.scheme
        return digest.of_json([self.text_digest, self.tags, labels, scheme, self.stride])

    def digest(self) -> str:
        """SHA-256 (hex) of words, tags, labels and stride; the name does not count."""
        return self._digest

    def take(self, rows: Sequence[int]) -> TaggedSplit:
        """The rows with these numbers, in the order given."""
        words, tags = [self.words[row] for row in rows], [self.tags[row] for row in rows]
        return replace(self, words=words, tags=tags)

    def renamed(self, name: str) -> TaggedSplit:
        """The same rows under another name."""
        return replace(self, name=name)

    def entities(self, row: int) -> list[tuple[int, int, int]]:
        """The entities of a row: a type's number, the first character, the one behind the last."""
        _, starts, ends = join(self.words[row])
        spans = self.tag_set.read(self.tags[row])
        return [(span.type, starts[span.start], ends[span.end - 1]) for span in spans]


def join(words: Sequence[str]) -> tuple[str, list[int], list[int]]:
    """Words to a text: a space between two, but none where neither side is written with spaces.

    Args:
        words: the words.

    Returns:
        The text, and where each word starts in it and ends, in characters.

    Example:
        >>> join(["in", "New", "York"])
        ('in New York', [0, 3, 7], [2, 6, 11])
        >>> join(["北", "京"])[0]
        '北京'
    """
    parts: list[str] = []
    starts, ends = [], []
    length, before = 0, ""
    for word in words:
        if before and not (_unspaced(before) and _unspaced(word[0])):
            parts.append(" ")
            length += 1
        starts.append(length)
        parts.append(word)
        length += len(word)
        ends.append(length)
        before = word[-1]
    return "".join(parts), starts, ends


def _unspaced(sign: str) -> bool:
    return not sign.isascii() and unicodedata.name(sign, "").startswith(_UNSPACED)
