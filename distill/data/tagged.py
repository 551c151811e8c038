"""Rows of words with tags, as every source gives them and every stage takes them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from distill import digest
from distill.data.split import Split
from distill.text.tags import TagSet

#: Beginnings of the names of characters that are written without spaces between words.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


@dataclass(frozen=True)
class TaggedSplit(Split):
    """Rows of one split, in the order of their source; :func:`tagged` makes one of words.

    The texts are the words, joined as they would be written, and the labels of a row its words'
    tags, each an index into ``tag_set.labels``.

    Args:
        words: the words of each row.
        tag_set: the tags and their scheme.
        stride: pieces that neighbouring windows of a long row share; ``None`` for the default.
    """

    words: list[list[str]] = field(default_factory=list)
    tag_set: TagSet = field(default_factory=lambda: TagSet(["O"], "bio"))
    stride: int | None = None

    @property
    def targets(self) -> npt.NDArray[Any]:
        """How many words each row has, (N,); tags are made labels of tokens with the tokens."""
        return np.asarray([len(words) for words in self.words], dtype=np.int64)

    def digest(self) -> str:
        """SHA-256 (hex) of words, tags, labels and stride; the name does not count."""
        return self._own_digest

    @cached_property
    def _own_digest(self) -> str:
        words = digest.of_json([digest.of_texts(words) for words in self.words])
        labels, scheme = list(self.tag_set.labels), self.tag_set.scheme
        return digest.of_json([words, self.labels, labels, scheme, self.stride])

    def take(self, rows: Sequence[int]) -> TaggedSplit:
        """The rows with these numbers, in the order given."""
        return replace(
            self,
            texts=[self.texts[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            words=[self.words[row] for row in rows],
        )

    def entities(self, row: int) -> list[tuple[int, int, int]]:
        """The entities of a row: a type's number, the first character, the one behind the last."""
        _, starts, ends = join(self.words[row])
        spans = self.tag_set.read(self.labels[row])
        return [(span.type, starts[span.start], ends[span.end - 1]) for span in spans]


def tagged(
    name: str,
    words: list[list[str]],
    tags: list[list[int]],
    tag_set: TagSet,
    *,
    stride: int | None = None,
) -> TaggedSplit:
    """Rows of words with a tag each.

    Args:
        name: ``train``, ``validation`` or ``test``.
        words: the words of each row.
        tags: the tag of each word, an index into ``tag_set.labels``.
        tag_set: the tags and their scheme.
        stride: pieces that neighbouring windows of a long row share; ``None`` for the default.
    """
    texts = [join(row)[0] for row in words]
    return TaggedSplit(name, texts, tags, words=words, tag_set=tag_set, stride=stride)


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
