"""Text as token ids on disk: made once for a text and a tokenizer, then memory-mapped.

Kept are the ids of all sentences one after another (no special tokens), where each sentence
begins, and which sentence each document begins with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    """A tokenised text; nothing of it is held in memory.

    Args:
        store: what :func:`tokenize_text` wrote.
        key: SHA-256 (hex) of text and tokenizer.
    """

    store: ArrayStore
    key: str

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
