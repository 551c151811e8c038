"""The candidates of every word: from a masked-language model, or the nearest word vectors.

Both are worked out once for all texts, before any row is made: what stands for a word depends
neither on the seed nor on how many copies are wanted.

Legend: P words the model is asked for, K candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from distill.data.array_store import ArrayWriter, open_store
from distill.data.augmentation.masked import MaskedProposals
from distill.data.augmentation.vectors import Neighbours
from distill.data.augmentation.words import Reader, Sentence, Word
from distill.system import digest
from distill.system.console import Bar

#: Texts whose proposals make one file of the cache: what a killed process does again at most.
CHUNK = 256

Ids = npt.NDArray[np.int32]


class Choice(NamedTuple):
    """A word and what it may be replaced by: numbers of words, at least one, and what they mean."""

    word: Word
    ids: list[int]
    words: Sequence[str]


class Candidates:
    """Looks up the candidates of a text's words.

    Args:
        texts: all texts that will be asked for; a text that stands there twice is read once.
        masked: the model; ``None`` where word vectors speak for all words.
        neighbours: word vectors, for words that the model is not asked for.
        count: K.
        key: hash of the texts, the model and the settings, which the model's proposals are cached
            by; ``None`` caches none.

    Attributes:
        sources: how many words got candidates, by ``mlm`` and ``neighbours``, and how many got
            ``none``.
    """

    def __init__(
        self,
        texts: Iterable[str],
        reader: Reader,
        *,
        masked: MaskedProposals | None,
        neighbours: Neighbours,
        count: int,
        key: str | None = None,
    ) -> None:
        self._reader, self._masked, self._neighbours = reader, masked, neighbours
        self._number = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        self.sources: Counter[str] = Counter()
        self._proposed, self._starts, keys = self._read_all(key, count)
        self._near = self._nearest(sorted(keys), count)
        without = sum(number for key, number in keys.items() if not self._near[key])
        self.sources.update(
            mlm=len(self._proposed), neighbours=keys.total() - without, none=without
        )

    def _read_all(
        self, key: str | None, count: int
    ) -> tuple[Ids, npt.NDArray[np.int64], Counter[Any]]:
        """Proposals of all texts one after another, where each text's begin, and other words."""
        texts, keys = list(self._number), Counter[Any]()
        parts: list[Ids] = [np.empty((0, count), dtype=np.int32)]
        sizes = [0]
        what = "ask the masked-language model" if self._masked else "read words"
        with Bar(f"augment: {what}", len(texts)) as bar:
            for start in range(0, len(texts), CHUNK):
                sentences = self._reader.read(texts[start : start + CHUNK])
                for sentence in sentences:
                    asked = [word for word in sentence.words if self._is_asked(word)]
                    sizes.append(len(asked))
                    others = (word for word in sentence.words if not self._is_asked(word))
                    keys.update(self._neighbours.key(sentence, word) for word in others)
                if self._masked is not None:
                    part = key and digest.of_json([key, start])
                    parts.append(_kept(part, self._masked, sentences))
                bar.advance(len(sentences))
        self.sources["none"] = keys.pop(None, 0)
        return np.concatenate(parts), np.cumsum(sizes), keys

    def _is_asked(self, word: Word) -> bool:
        return self._masked is not None and len(word.ids) == 1

    def _nearest(self, keys: list[Any], count: int) -> dict[Any, list[int]]:
        if not keys:
            return {}
        found = self._neighbours.nearest(keys, count)
        return {key: _filled(row) for key, row in zip(keys, found, strict=True)}

    def __len__(self) -> int:
        """How many different texts there are."""
        return len(self._number)

    def of(self, texts: Sequence[str]) -> Iterator[tuple[Sentence, list[Choice]]]:
        for sentence in self._reader.read(texts):
            yield sentence, list(self._choices(sentence))

    def _choices(self, sentence: Sentence) -> Iterator[Choice]:
        row = int(self._starts[self._number[sentence.text]])
        for word in sentence.words:
            if self._is_asked(word):
                ids = _filled(self._proposed[row])
                words: Sequence[str] = self._reader.subwords
                row += 1
            else:
                key = self._neighbours.key(sentence, word)
                ids = self._near[key] if key is not None else []
                words = self._neighbours.words
            if ids:
                yield Choice(word, ids, words)


def _filled(row: Ids) -> list[int]:
    found: list[int] = row[row >= 0].tolist()
    return found


def _kept(key: str | None, masked: MaskedProposals, sentences: list[Sentence]) -> Ids:
    if key is None:
        return masked(sentences)

    def fill(writer: ArrayWriter) -> dict[str, Any]:
        writer.append(ids=masked(sentences))
        return {}

    store = open_store("augment", key, {"ids": "int32"}, name="augment", fill=fill)
    found: Ids = np.array(store["ids"]).reshape(-1, masked.count)
    return found
