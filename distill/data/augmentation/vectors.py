"""Nearest neighbours of words: among the vectors of a GloVe file or a model's own embeddings.

Legend: Q words asked for, V words there are vectors of, D their width, K neighbours.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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


class Embeddings:
    """Neighbours by a model's input embeddings: a word's vector is the mean of its subwords'.

    Args:
        matrix: the input embeddings, of shape (V, D).
        reader: knows the vocabulary.
    """

    def __init__(self, matrix: Tensor, reader: Reader) -> None:
        self.words = reader.subwords
        self._matrix = matrix.detach().float().cpu()
        self._ids = torch.tensor(
            [number for number in reader.replacements() if number < len(matrix)], dtype=torch.long
        )
        self._among = normalize(self._matrix[self._ids], dim=-1)  # (V', D)
        self._no_vector = {reader.unknown, *reader.special}

    def key(self, sentence: Sentence, word: Word) -> tuple[int, ...] | None:
        return None if self._no_vector.intersection(word.ids) else word.ids

    def nearest(self, keys: Sequence[Any], count: int) -> Ids:
        own = [_fold("".join(self.words[i].removeprefix("##") for i in key)) for key in keys]
        vectors = (torch.stack([self._matrix[list(key)].mean(0) for key in block]) for block in
                   _blocks(keys))  # fmt: skip
        among = [_fold(self.words[number]) for number in self._ids.tolist()]
        rows = _search(vectors, self._among, count)
        ids = self._ids.numpy().astype(np.int32)
        return _without_own(rows, own, among, ids, count)


class Glove:
    """Neighbours by the vectors of a GloVe file.

    Raises:
        DataError: it cannot be read or holds no vectors.
    """

    def __init__(self, path: Path) -> None:
        self.words, matrix = read_glove(path)
        self._matrix = normalize(torch.from_numpy(matrix), dim=-1)
        self._folded = [_fold(word) for word in self.words]
        self._rows: dict[str, int] = {}
        for row, word in enumerate(self._folded):
            self._rows.setdefault(word, row)
        self._words = torch.tensor(
            [row for row, word in enumerate(self.words) if word.isalpha() and len(word) > 1],
            dtype=torch.long,
        )

    def key(self, sentence: Sentence, word: Word) -> str | None:
        text = _fold(sentence.text[word.start : word.end])
        return text if text in self._rows else None

    def nearest(self, keys: Sequence[Any], count: int) -> Ids:
        """(Q, K): the nearest words of letters, without the word itself."""
        vectors = (self._matrix[[self._rows[key] for key in block]] for block in _blocks(keys))
        rows = _search(vectors, self._matrix[self._words], count)
        ids = self._words.numpy().astype(np.int32)
        among = [self._folded[number] for number in self._words.tolist()]
        return _without_own(rows, list(keys), among, ids, count)


#: Words whose vectors lie near a word's.
Neighbours = Embeddings | Glove


def _fold(word: str) -> str:
    return word.casefold()


def _blocks(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(keys), _BLOCK):
        yield keys[start : start + _BLOCK]


def _search(vectors: Iterable[Tensor], among: Tensor, count: int) -> Iterator[list[int]]:
    """For each vector the rows of ``among`` with the largest cosine, largest first."""
    most = min(count + _MARGIN, len(among))
    for block in vectors:
        cosine = normalize(block, dim=-1) @ among.T  # (Q, V')
        yield from cosine.topk(most, dim=-1).indices.tolist()


def _without_own(
    rows: Iterable[list[int]], own: list[str], among: list[str], ids: Ids, count: int
) -> Ids:
    found = np.full((len(own), count), -1, dtype=np.int32)
    for number, (row, word) in enumerate(zip(rows, own, strict=True)):
        kept = [column for column in row if among[column] != word][:count]
        found[number, : len(kept)] = ids[kept]
    return found


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
