"""Nearest neighbours of words: among the vectors of a GloVe file or a model's own embeddings.

Legend: Q words asked for, V words there are vectors of, D their width, K neighbours.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from distill.data.augmentation.words import Reader, Sentence, Word
from distill.files.lines import Lines
from distill.system.errors import DataError

logger = logging.getLogger("distill")

#: Words read of a GloVe file, which has the most frequent ones first (as the published code).
MOST_WORDS = 100_000
_BLOCK = 1024
#: Lines that tell how many numbers a vector has: most words hold no space.
_LOOKED_AT = 1000
#: More neighbours looked at than wanted: the word itself in other cases may be among them.
_MARGIN = 8

Ids = npt.NDArray[np.int32]


class Neighbours(ABC):
    """Words whose vectors lie near a word's.

    Args:
        words: every word that there is a vector of, or a subword.
        ids: numbers of those that may stand for a word, (V',).
        vectors: theirs, of length 1, (V', D).
    """

    def __init__(self, words: Sequence[str], ids: Sequence[int], vectors: Tensor) -> None:
        self.words = words
        self._ids = np.array(ids, dtype=np.int32)
        self._among = vectors
        self._folded = [words[number].casefold() for number in ids]

    @abstractmethod
    def key(self, sentence: Sentence, word: Word) -> Any:
        """What a word is looked up by; ``None`` where nothing is known of it."""

    @abstractmethod
    def vectors(self, keys: Sequence[Any]) -> Tensor:
        """The vectors of Q keys, (Q, D)."""

    @abstractmethod
    def folded(self, key: Any) -> str:
        """The word of a key, case-folded."""

    def nearest(self, keys: Sequence[Any], count: int) -> Ids:
        """(Q, K): the nearest words first, without the word itself; -1 where there are no more."""
        found = np.full((len(keys), count), -1, dtype=np.int32)
        most = min(count + _MARGIN, len(self._among))
        for start in range(0, len(keys), _BLOCK):
            block = keys[start : start + _BLOCK]
            cosine = normalize(self.vectors(block), dim=-1) @ self._among.T  # (Q, V')
            rows = cosine.topk(most, dim=-1).indices.tolist()
            for number, (key, row) in enumerate(zip(block, rows, strict=True), start):
                own = self.folded(key)
                kept = [column for column in row if self._folded[column] != own][:count]
                found[number, : len(kept)] = self._ids[kept]
        return found


class Embeddings(Neighbours):
    """Neighbours by a model's input embeddings: a word's vector is the mean of its subwords'.

    Args:
        matrix: the input embeddings, of shape (V, D).
        reader: knows the vocabulary.
    """

    def __init__(self, matrix: Tensor, reader: Reader) -> None:
        self._matrix = matrix.detach().float().cpu()
        ids = [number for number in reader.replacements() if number < len(matrix)]
        super().__init__(reader.subwords, ids, normalize(self._matrix[ids], dim=-1))
        self._no_vector = {reader.unknown, *reader.special}

    def key(self, sentence: Sentence, word: Word) -> tuple[int, ...] | None:
        return None if self._no_vector.intersection(word.ids) else word.ids

    def vectors(self, keys: Sequence[Any]) -> Tensor:
        return torch.stack([self._matrix[list(key)].mean(0) for key in keys])

    def folded(self, key: Any) -> str:
        return "".join(self.words[number].removeprefix("##") for number in key).casefold()


class Glove(Neighbours):
    """Neighbours by the vectors of a GloVe file, in which words are looked up in lower case.

    Raises:
        DataError: it cannot be read or holds no vectors.
    """

    def __init__(self, path: Path) -> None:
        words, matrix = read_glove(path)
        self._matrix = normalize(torch.from_numpy(matrix), dim=-1)
        ids = [row for row, word in enumerate(words) if word.isalpha() and len(word) > 1]
        super().__init__(words, ids, self._matrix[ids])
        self._rows: dict[str, int] = {}
        for row, word in enumerate(words):
            self._rows.setdefault(word.casefold(), row)

    def key(self, sentence: Sentence, word: Word) -> str | None:
        text = sentence.text[word.start : word.end].casefold()
        return text if text in self._rows else None

    def vectors(self, keys: Sequence[Any]) -> Tensor:
        return self._matrix[[self._rows[key] for key in keys]]

    def folded(self, key: Any) -> str:
        return str(key)


def read_glove(path: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    """The words of a GloVe file, plain or .gz, and their vectors (V, D).

    Its first :data:`MOST_WORDS` lines are read. A line is a word and D numbers; the word may hold
    spaces, so the *last* D fields are the numbers. A first line with two integers (word2vec) is
    left out, as are lines that do not fit.

    Raises:
        DataError: it cannot be read or holds no vectors.
    """
    every = islice(Lines(path), MOST_WORDS)
    lines = ["" if line.issue else line.text.rstrip(" \t\r\n") for line in every]
    if lines and len(lines[0].split()) == 2:
        lines = lines[1:]
    fields = Counter(len(line.split(" ")) for line in lines[:_LOOKED_AT])
    width = fields.most_common(1)[0][0] - 1 if fields else 0
    words: list[str] = []
    vectors: list[npt.NDArray[np.float32]] = []
    for line in lines:
        parsed = _vector(line, width)
        if parsed is not None:
            words.append(parsed[0])
            vectors.append(parsed[1])
    if width < 2 or not vectors:
        raise DataError(f"{path}: holds no word vectors; a line is a word and its numbers")
    if len(vectors) < len(lines):
        logger.info(
            "%s: %d of %d lines are no word vectors and are left out",
            path.name,
            len(lines) - len(vectors),
            len(lines),
        )
    return words, np.stack(vectors)


def _vector(line: str, width: int) -> tuple[str, npt.NDArray[np.float32]] | None:
    word, *numbers = line.rsplit(" ", width) if width else [""]
    if not word or len(numbers) != width:
        return None
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        return None
    if not all(map(math.isfinite, values)) or not any(values):
        return None
    return word, np.array(values, dtype=np.float32)
