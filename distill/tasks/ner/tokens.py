"""Words with tags, and their token ids on disk: made once for texts, a tokenizer and a length.

A row that is longer than a model reads becomes several windows, and each of its words is labelled
in one of them. Legend: F windows of all rows, B windows of a batch, L length, W words of a row, M
labelled tokens of all rows.
"""

from __future__ import annotations

import bisect
import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Tokenizer

from distill.data.array_store import ArrayStore, ArrayWriter, open_store
from distill.data.sources.columns import mapped, stored
from distill.data.split import Group, Split
from distill.data.tokenized import TokenExamples, bare_engine, check_examples, padding_id
from distill.system import digest
from distill.system.console import Bar
from distill.system.errors import DataError
from distill.text.tags import Span, TagSet
from distill.text.words import Words, default_stride, room, word_windows, words_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: The label of a token that has none.
IGNORED = -100

_VERSION = 3
_CHUNK = 1000
_ARRAYS = {
    "ids": "int32",  # of all windows
    "labels": "int16",  # of all windows
    "lengths": "int32",  # (F,)
    "rows": "int64",  # (F,)
    "chars": "int32",  # (M, 3) of all labelled tokens; see TaggedDataset.chars
}

#: Beginnings of the names of characters that are written without spaces between words.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


@dataclass(frozen=True)
class TaggedSplit(Split):
    """Rows of one split, in the order of their source; :func:`tagged` makes one of words.

    The texts are the words, joined as they would be written, and the labels of a row its words'
    tags, each an index into ``tag_set.labels``.
    """

    words: Sequence[Sequence[str]] = ()
    tag_set: TagSet = field(default_factory=lambda: TagSet(["O"], "bio"))
    # subwords that neighbouring windows of a long row share; ``None`` for the default
    stride: int | None = None

    per_example: ClassVar[tuple[str, ...]] = ("texts", "labels", "words")
    labelled: ClassVar[str] = "entity"

    @property
    def targets(self) -> npt.NDArray[Any]:
        """How many words each row has, (N,); tags are made labels of tokens with the tokens."""
        return np.fromiter(map(len, self.words), dtype=np.int64, count=len(self))

    @cached_property
    def _digest(self) -> str:
        words, tags = (digest.of_texts(map(json.dumps, of)) for of in (self.words, self.labels))
        labels, scheme = list(self.tag_set.labels), self.tag_set.scheme
        return digest.of_json([words, tags, labels, scheme, self.stride])

    @property
    def groups(self) -> Sequence[Group]:
        read = self.tag_set.read
        return mapped(self.labels, lambda tags: tuple(sorted({span.type for span in read(tags)})))

    def group_names(self, labels: Sequence[str]) -> Sequence[str]:
        return self.tag_set.types

    def encode(self, tokenizer: PreTrainedTokenizerFast, *, max_length: int) -> TaggedDataset:
        check_examples(self, tokenizer, max_length=max_length)
        stride = default_stride(max_length) if self.stride is None else self.stride
        engine = bare_engine(tokenizer)
        parts = [digest.of_texts([engine.to_str()]), max_length, stride]
        key = digest.of_json(["tags", _VERSION, self.digest(), *parts])

        def fill(writer: ArrayWriter) -> dict[str, Any]:
            return _fill(writer, self, engine, max_length=max_length, stride=stride)

        store = open_store("tokens", key, _ARRAYS, name=self.name, fill=fill)
        return TaggedDataset(store, digest=key, pad_id=padding_id(tokenizer))

    def entities(self, row: int) -> list[tuple[int, int, int]]:
        """The entities of a row: a type's number, the first character, the one behind the last."""
        _, starts, ends = join(self.words[row])
        spans = self.tag_set.read(self.labels[row])
        return [(span.type, starts[span.start], ends[span.end - 1]) for span in spans]


def tagged(
    name: str,
    words: Sequence[Sequence[str]],
    tags: Sequence[Sequence[int]],
    tag_set: TagSet,
    *,
    stride: int | None = None,
) -> TaggedSplit:
    """Rows of words with a tag each."""
    texts = stored((join(row)[0] for row in words), pa.string())
    return TaggedSplit(name, texts, tags, words=words, tag_set=tag_set, stride=stride)


def join(words: Sequence[str]) -> tuple[str, list[int], list[int]]:
    """Words to a text, and where each word starts in it and ends, in characters.

    A space stands between two, but none where neither side is written with spaces.

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


class TaggedDataset(TokenExamples):
    """Windows of examples as token ids.

    ``labels`` of an item are of the window's length: a tag at the first token of each word that is
    read in this window and :data:`IGNORED` elsewhere. It has also ``row``, the example's number;
    ``index`` is the window's.

    Attributes:
        rows: the example of each window, int64 (F,); windows of one stand in their order.
        lost: how many entities have no token.
    """

    padded = MappingProxyType({"labels": IGNORED})

    def __init__(self, store: ArrayStore, *, digest: str, pad_id: int) -> None:
        super().__init__(store, digest=digest, pad_id=pad_id)
        self.lost: int = store.facts["lost"]
        self.rows: npt.NDArray[np.int64] = np.array(store["rows"])

    @property
    def labels(self) -> npt.NDArray[np.int16]:
        """The label of each token of all windows, one window after the other."""
        return self.store["labels"]

    @cached_property
    def word_starts(self) -> npt.NDArray[np.int64]:
        """How many labelled tokens stand in the windows before each one, and in all, (F + 1,)."""
        behind = np.append(0, np.cumsum(np.asarray(self.labels) != IGNORED))
        found: npt.NDArray[np.int64] = behind[self.starts]
        return found

    @property
    def chars(self) -> npt.NDArray[np.int32]:
        """Of the word at each labelled token, in the characters of its text, (M, 3).

        Where it starts, and the characters behind its first subword and behind the word.
        """
        return self.store["chars"].reshape(-1, 3)

    def labels_of(self, index: int, tokens: slice) -> dict[str, Any]:
        return {"labels": self.labels[tokens], "row": int(self.rows[index])}

    def notes(self, *, max_length: int, limit: int) -> list[str]:
        counts = np.bincount(self.rows)
        notes = []
        if (long := int((counts > 1).sum())) > 0:
            notes.append(
                f"{long:,} of {self.store.facts['rows']:,} examples are longer than {max_length} "
                f"tokens; they are read in {int(counts[counts > 1].sum()):,} windows"
            )
        if self.lost:
            notes.append(
                f"{self.lost:,} entities have no token the tokenizer knows how to make, and are "
                "left out"
            )
        return notes


def _fill(
    writer: ArrayWriter, split: TaggedSplit, engine: Tokenizer, *, max_length: int, stride: int
) -> dict[str, Any]:
    written = lost = 0
    with Bar(f"tokenise {split.name}", len(split)) as bar:
        for row, words in enumerate(_encode(split, engine)):
            tags, missed = word_tags(split.entities(row), words, split.tag_set)
            lost += missed
            chars = np.stack([words.starts, words.behind_first, words.ends], axis=1)  # (W, 3)
            if stride >= room(words, max_length):
                raise DataError(
                    f"task.stride: windows of {max_length} tokens cannot share {stride}; write "
                    "less, or raise data.max_length"
                )
            for part in word_windows(words, max_length=max_length, stride=stride):
                labels = np.full(len(part), IGNORED, dtype=np.int16)  # (L,)
                labels[part.positions] = np.asarray(tags, dtype=np.int16)[part.words]
                writer.append(
                    ids=part.ids,
                    labels=labels,
                    lengths=[len(part)],
                    rows=[row],
                    chars=chars[part.words],
                )
                written += 1
            bar.advance(1)
    if not written:
        raise DataError(f"{split.name}: the tokenizer makes no token of any word")
    return {"rows": len(split), "lost": lost}


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
    Behind the tags (W,) stands the number of entities that no word begins in.

    Args:
        entities: types' numbers with the first character of each and the one behind its last.
        words: the row's words.
        tag_set: the tags.
    """
    spans = []
    for kind, start, end in entities:
        first = bisect.bisect_left(words.starts, start)
        behind = bisect.bisect_left(words.starts, end)
        if first < behind:
            spans.append(Span(kind, first, behind))
    return tag_set.write(spans, len(words)), len(entities) - len(spans)
