"""Text as token ids on disk: made once for a text and a tokenizer, then memory-mapped.

A cache folder holds the ids of all sentences one after another (no special tokens), where each
sentence begins, which sentence each document begins with, and ``corpus.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from distill import digest
from distill.atomic import write_json
from distill.console import Bar
from distill.data.stamps import cached_folder, stamp
from distill.data.text.documents import Document, TextSource
from distill.data.tokenized import bare_engine
from distill.errors import DataError
from distill.text.sentences import sentence_spans

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_VERSION = 2
#: Sentences that are tokenised at a time; with LINES and the longest line, what bounds memory.
_CHUNK = 2000
_IDS, _SENTENCES, _DOCUMENTS = "ids.bin", "sentences.int64", "documents.int64"
_FACTS = "corpus.json"


@dataclass(frozen=True)
class Corpus:
    """A tokenised text; nothing of it is held in memory.

    Args:
        folder: a folder that :func:`tokenize_text` made.
        key: SHA-256 (hex) of text and tokenizer.
    """

    folder: Path
    key: str

    @cached_property
    def facts(self) -> dict[str, Any]:
        """``corpus.json``: ``tokens``, ``sentences``, ``documents``, ``dtype``."""
        content: dict[str, Any] = json.loads((self.folder / _FACTS).read_text(encoding="utf-8"))
        return content

    @cached_property
    def ids(self) -> npt.NDArray[Any]:
        """Token ids of all sentences, of shape (T,)."""
        return np.memmap(self.folder / _IDS, dtype=self.facts["dtype"], mode="r")

    @cached_property
    def sentences(self) -> npt.NDArray[np.int64]:
        """The token that each sentence begins with, and T: of shape (S + 1,)."""
        return np.memmap(self.folder / _SENTENCES, dtype=np.int64, mode="r")

    @cached_property
    def documents(self) -> npt.NDArray[np.int64]:
        """The sentence that each document begins with, and S: of shape (D + 1,)."""
        return np.memmap(self.folder / _DOCUMENTS, dtype=np.int64, mode="r")


def tokenize_text(
    source: TextSource, tokenizer: PreTrainedTokenizerFast, *, name: str = "text"
) -> Corpus:
    """Give a text as token ids, from the cache where it was tokenised before.

    Memory does not grow with the text: it is read, parted into sentences, tokenised and written
    in chunks.

    Args:
        source: the documents.
        tokenizer: a fast tokenizer.
        name: what a person is told is being worked on.

    Raises:
        DataError: the text cannot be read, holds no tokens, or the cache cannot be written.
    """
    engine = bare_engine(tokenizer)
    key = digest.of_json([_VERSION, source.digest(), digest.of_texts([engine.to_str()])])
    folder = cached_folder(
        "text",
        key,
        facts=_FACTS,
        holds="tokens",
        name=name,
        fill=lambda new: _fill(new, source, engine, key=key, name=name),
    )
    return Corpus(folder, key)


@dataclass
class _Counts:
    tokens: int = 0
    sentences: int = 0
    documents: int = 0


def _fill(new: Path, source: TextSource, engine: Tokenizer, *, key: str, name: str) -> None:
    dtype = "uint16" if engine.get_vocab_size() <= 1 << 16 else "int32"
    counts = _Counts()
    with (
        (new / _IDS).open("wb") as ids,
        (new / _SENTENCES).open("wb") as sentences,
        (new / _DOCUMENTS).open("wb") as documents,
        Bar(f"tokenise {name}", source.size) as bar,
    ):
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
                lengths = np.array([0, *(len(row) for row in rows[:-1])], dtype=np.int64)
                ids.write(np.concatenate(rows, dtype=dtype, casting="unsafe").tobytes())
                sentences.write((counts.tokens + np.cumsum(lengths)).tobytes())
                documents.write(np.int64(counts.sentences).tobytes())
                counts.tokens += sum(len(row) for row in rows)
                counts.sentences += len(rows)
                counts.documents += 1
            bar.advance(at - bar.done)
        sentences.write(np.int64(counts.tokens).tobytes())
        documents.write(np.int64(counts.sentences).tobytes())
    if not counts.documents:
        raise DataError(f"{source.place}: no text in it; it needs words to learn from")
    write_json(
        new / _FACTS,
        {"key": key, "dtype": dtype, **vars(counts)}
        | {"files": stamp(new, [_IDS, _SENTENCES, _DOCUMENTS])},
    )


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
