"""Text as token ids on disk, and as sequences packed of it: made once, then memory-mapped.

A corpus is the ids of all sentences one after another (no special tokens), where each sentence
begins, and which sentence each document begins with.

A sequence is (start, middle, end, document): tokens ``start:middle`` are segment A, ``middle:end``
segment B, which is empty in ``[CLS] A [SEP]``; its sentences are consecutive ones of one document.
Every token of the corpus is in exactly one sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from distill.data.array_store import ArrayStore, ArrayWriter, open_store
from distill.data.text.documents import Document, TextSource
from distill.data.tokenized import bare_engine
from distill.system import digest
from distill.system.console import Bar
from distill.system.errors import DataError
from distill.text.sentences import sentence_spans

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


_VERSION = 3
#: Sentences that are tokenised at a time; with LINES and the longest line, what bounds memory.
_CHUNK = 2000


@dataclass(frozen=True)
class Corpus:
    """A tokenised text; nothing of it is held in memory."""

    store: ArrayStore  # what :func:`tokenize_text` wrote
    key: str  # SHA-256 (hex) of text and tokenizer

    @property
    def facts(self) -> dict[str, Any]:
        """``tokens``, ``sentences`` and ``documents``: how many there are."""
        return self.store.facts

    @property
    def ids(self) -> npt.NDArray[Any]:
        """Token ids of all sentences, of shape (T,)."""
        return self.store["ids"]

    @property
    def sentences(self) -> npt.NDArray[np.int64]:
        """The token that each sentence begins with, and T: of shape (S + 1,)."""
        return self.store["sentences"]

    @property
    def documents(self) -> npt.NDArray[np.int64]:
        """The sentence that each document begins with, and S: of shape (D + 1,)."""
        return self.store["documents"]


def tokenize_text(
    source: TextSource, tokenizer: PreTrainedTokenizerFast, *, name: str = "text"
) -> Corpus:
    """Give a text as token ids, from the cache where it was tokenised before.

    Memory does not grow with the text: it is read, parted into sentences, tokenised and written
    in chunks. ``name`` is what a person is told is being worked on.

    Raises:
        DataError: the text cannot be read, holds no tokens, or the cache cannot be written.
    """
    engine = bare_engine(tokenizer)
    key = digest.of_json([_VERSION, source.digest(), digest.of_texts([engine.to_str()])])
    kind = "uint16" if engine.get_vocab_size() <= 1 << 16 else "int32"
    store = open_store(
        "text",
        key,
        {"ids": kind, "sentences": "int64", "documents": "int64"},
        name=name,
        fill=lambda writer: _fill(writer, source, engine, name),
    )
    return Corpus(store, key)


def _fill(writer: ArrayWriter, source: TextSource, engine: Tokenizer, name: str) -> dict[str, Any]:
    tokens = sentences = documents = 0
    with Bar(f"tokenise {name}", source.size) as bar:
        for at, chunk in _chunks(source):
            encoded = iter(
                engine.encode_batch_fast(
                    [text for document in chunk for text in document], add_special_tokens=False
                )
            )
            for document in chunk:
                rows = [row for row in ([next(encoded).ids for _ in document]) if row]
                if not rows:
                    continue
                starts = tokens + np.cumsum([0, *(len(row) for row in rows[:-1])])
                writer.append(ids=np.concatenate(rows), sentences=starts, documents=[sentences])
                tokens += sum(map(len, rows))
                sentences += len(rows)
                documents += 1
            bar.advance(at - bar.done)
    writer.append(sentences=[tokens], documents=[sentences])
    if not documents:
        raise DataError(f"{source.place}: no text in it; it needs words to learn from")
    return {"tokens": tokens, "sentences": sentences, "documents": documents}


def _chunks(source: TextSource) -> Iterator[tuple[int, list[Document]]]:
    """Documents as lists of sentences, several at a time, with how much was read."""
    chunk: list[Document] = []
    held, at = 0, 0
    for at, lines in source.documents():
        document = [line[start:end] for line in lines for start, end in sentence_spans(line)]
        chunk.append(document)
        held += len(document)
        if held >= _CHUNK:
            yield at, chunk
            chunk, held = [], 0
    if chunk:
        yield at, chunk


#: One document of so many is held out where no validation text is named.
HELD_OUT = 50
_PACKED_VERSION = 5
#: Documents packed at a time.
_DOCUMENTS = 100

Range = tuple[int, int]
Row = tuple[int, int, int]


def pack_document(offsets: Sequence[int], *, max_length: int, pair: bool) -> list[Row]:
    """The rows of one document, by the token that each sentence begins with, and its end.

    Sentences are put together as long as they fit; one that is longer than a row alone is cut. With
    ``pair``, A and B are each filled like that with half of the room, so that any A fits with any
    B; a rest that would be an A without B is parted in two. Only a document of a single token
    leaves a row without B.

    Example:
        >>> pack_document([0, 4, 6, 9], max_length=8, pair=False)
        [(0, 6, 6), (6, 9, 9)]
    """
    if not pair:
        return [(start, end, end) for start, end in _filled(offsets, max_length - 2)]
    halves = _filled(offsets, (max_length - 3) // 2)
    if len(halves) % 2:
        # A last half of a single token cannot be parted, but the one before it can.
        at = len(halves) - 1
        if halves[at][1] - halves[at][0] < 2 and at:
            at -= 1
        halves[at : at + 1] = _parted(*halves[at], offsets)
    rows = [
        (start, middle, end)
        for (start, middle), (_, end) in zip(halves[::2], halves[1::2], strict=False)
    ]
    if len(halves) % 2:
        start, end = halves[-1]
        rows.append((start, end, end))
    return rows


def _filled(offsets: Sequence[int], room: int) -> list[Range]:
    """Ranges of whole sentences of at most ``room`` tokens; longer sentences are cut."""
    found: list[Range] = []
    start = offsets[0]
    for begin, end in pairwise(offsets):
        if end - start <= room:
            continue
        if begin > start:
            found.append((start, begin))
            start = begin
        while end - start > room:
            found.append((start, start + room))
            start += room
    if offsets[-1] > start:
        found.append((start, offsets[-1]))
    return found


def _parted(start: int, end: int, offsets: Sequence[int]) -> list[Range]:
    """A range in two, at the end of a sentence nearest to the middle; else at the middle."""
    if end - start < 2:
        return [(start, end)]
    middle = (start + end) // 2
    between = [offset for offset in offsets if start < offset < end]
    cut = min(between, key=lambda offset: abs(offset - middle), default=middle)
    return [(start, cut), (cut, end)]


class Packed(NamedTuple):
    """Rows of a corpus, memory-mapped: those that are trained on, (N, 4), and held out, (M, 4)."""

    train: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]


def pack(corpus: Corpus, *, max_length: int, pair: bool, hold_out: bool, seed: int) -> Packed:
    """Pack a corpus, from the cache where it was packed like that before.

    Of the documents :func:`held_out_of` are kept for validation where ``hold_out`` says so, drawn
    by the seed.

    Raises:
        DataError: a part of one document is to be held out, or the cache cannot be written.
    """
    if hold_out and len(corpus.documents) < 3:
        raise DataError(
            "data.validation: missing, and the text has one document only, of which none can be "
            "held out; name a file, or part the text by blank lines"
        )
    held = [HELD_OUT, seed] if hold_out else None
    key = digest.of_json([_PACKED_VERSION, corpus.key, max_length, pair, held])

    def fill(writer: ArrayWriter) -> dict[str, Any]:
        own = seed if hold_out else None
        return _fill_packed(writer, corpus, max_length, pair=pair, seed=own)

    types = {"train": "int64", "held_out": "int64"}
    store = open_store("text", key, types, name="text", fill=fill)
    return Packed(store["train"].reshape(-1, 4), store["held_out"].reshape(-1, 4))


def held_out_of(documents: int) -> int:
    """How many of a text's documents are held out: one of 50, but of a small text up to ten."""
    return max(1, documents // HELD_OUT, min(10, documents // 10))


def _fill_packed(
    writer: ArrayWriter, corpus: Corpus, max_length: int, *, pair: bool, seed: int | None
) -> dict[str, Any]:
    count = len(corpus.documents) - 1
    held_count = held_out_of(count) if seed is not None else 0
    held = np.zeros(count, dtype=bool)
    held[np.random.default_rng(seed).choice(count, held_count, replace=False)] = True
    names = {False: "train", True: "held_out"}
    # Rows without B stand behind all others: those before them can change their B.
    alone: dict[bool, list[tuple[int, ...]]] = {True: [], False: []}
    with Bar("pack text", count) as bar:
        for first in range(0, count, _DOCUMENTS):
            numbers = np.arange(first, min(first + _DOCUMENTS, count))
            rows: dict[bool, list[tuple[int, ...]]] = {True: [], False: []}
            for number, is_held in zip(numbers.tolist(), held[numbers].tolist(), strict=True):
                begin, end = corpus.documents[number], corpus.documents[number + 1]
                offsets = corpus.sentences[begin : end + 1].tolist()
                for row in pack_document(offsets, max_length=max_length, pair=pair):
                    where = alone if pair and row[1] == row[2] else rows
                    where[is_held].append((*row, number))
            writer.append(**{name: rows[is_held] for is_held, name in names.items()})
            bar.advance(len(numbers))
    writer.append(**{name: alone[is_held] for is_held, name in names.items()})
    return {}
