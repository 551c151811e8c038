"""Floors: what a task scores without a neural network, fitted on the same rows in seconds.

And what most stand on: TF-IDF of words and characters, and for pairs how alike the two texts are.

Legend: N rows, B rows of a batch, L length, C outputs, D width of a vector, F features.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split
from distill.data.tokenized import Texts, TokenExamples

Numbers = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]
Matrix = Any  # a scipy.sparse.csr_array or csr_matrix, (N, F)

_MOST = 100_000  # n-grams of words, and as many of characters
_RARE_FROM = 200  # with fewer texts, those that occur once count too
#: Row numbers (B,) as the rows' ``index`` counts them, and the batch's length L, to the logits that
#: a model's head would give: (B, C), (B, L, C) or (B, D).
Answer = Callable[[Numbers, int], Logits]


class Floor(ABC):
    """A model without a neural network, fitted on a task's training examples.

    ``format`` is what tables call it; ``macs`` are multiply-accumulates of one example, about.
    """

    format: ClassVar[str]
    macs: int = 0

    @abstractmethod
    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """All that it learned, as arrays that can be saved without pickling."""

    @abstractmethod
    def on(self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast) -> Answer:
        """What answers to the rows of a split, from their texts, as a model's head would."""

    @property
    def parameters(self) -> int:
        """How many numbers it learned."""
        return sum(a.size for a in self.arrays().values() if a.dtype.kind in "fi")

    @property
    def bytes(self) -> int:
        """Size of an ``.npz`` file, not compressed, of all that it learned."""
        file = BytesIO()
        np.savez(file, allow_pickle=False, **self.arrays())
        return len(file.getbuffer())


def as_array(words: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """Words as the bytes of their lines."""
    return np.frombuffer("\n".join(words).encode(), dtype=np.uint8)


class Features:
    r"""Texts or pairs as sparse rows.

    A text has the TF-IDF, :math:`(1 + \ln tf) \cdot idf` normalised to length 1, of its words and
    pairs of words and, apart, of its 2 to 4 characters within words. A pair has of the two TF-IDFs
    a and b :math:`|a - b|` and :math:`a \cdot b` by element and, standardised, their cosine, the
    Jaccard index, either's share in the other and the ratio of their lengths, and these squared.
    """

    def __init__(self, texts: Texts) -> None:
        self.sides = False
        whole = texts[0] if texts[1] is None else [*texts[0], *texts[1]]
        self.vectorizers = [_fitted(whole, words=words) for words in (True, False)]
        self.center = self.scale = np.zeros(0, dtype=np.float32)
        if texts[1] is not None:
            overlaps = self._overlaps(*self._both(texts[0], texts[1]))
            self.center, self.scale = overlaps.mean(axis=0), overlaps.std(axis=0) + 1e-6

    def with_sides(self) -> Features:
        """The same, where a pair has the TF-IDF of each text too."""
        found = copy.copy(self)
        found.sides = True
        return found

    def __call__(self, texts: Texts) -> Matrix:
        """The rows' features, float32 (N, F)."""
        from scipy import sparse

        if texts[1] is None:
            return sparse.hstack(self._tf_idf(texts[0]), format="csr", dtype=np.float32)
        first, second = self._both(texts[0], texts[1])
        overlaps = (self._overlaps(first, second) - self.center) / self.scale
        parts = [sparse.csr_matrix(overlaps)]
        for a, b in zip(first, second, strict=True):
            parts += [abs(a - b), a.multiply(b), *([a, b] if self.sides else [])]
        return sparse.hstack(parts, format="csr", dtype=np.float32)

    def cosines(self, texts: Sequence[str], pairs: Sequence[str]) -> npt.NDArray[np.float32]:
        """The mean of the cosines by words and by characters of the texts of each pair, (N,)."""
        first, second = self._both(texts, pairs)
        found = [_dot(a, b) for a, b in zip(first, second, strict=True)]
        return np.asarray(np.mean(found, axis=0), dtype=np.float32)

    def similarities(self, texts: Sequence[str], others: Sequence[str]) -> npt.NDArray[np.float32]:
        """The same mean of every text with each of the others, (N, number of others)."""
        first, second = self._both(texts, others)
        found = [(a @ b.T).toarray() for a, b in zip(first, second, strict=True)]
        return np.asarray(np.mean(found, axis=0), dtype=np.float32)

    def _tf_idf(self, texts: Sequence[str]) -> list[Matrix]:
        return [vectorizer.transform(texts) for vectorizer in self.vectorizers]

    def _both(self, first: Sequence[str], second: Sequence[str]) -> tuple[list[Matrix], ...]:
        return self._tf_idf(first), self._tf_idf(second)

    def _overlaps(self, first: list[Matrix], second: list[Matrix]) -> npt.NDArray[np.float32]:
        """How alike the two are, by words and by characters, (N, 20)."""
        found = []
        for a, b in zip(first, second, strict=True):
            # As floats: what is counted must not be that of booleans.
            in_a, in_b = (a > 0).astype(np.float32), (b > 0).astype(np.float32)
            shared = _dot(in_a, in_b)
            size_a, size_b = (np.maximum(np.asarray(m.sum(1)).ravel(), 1) for m in (in_a, in_b))
            found += [
                _dot(a, b),
                shared / (size_a + size_b - shared),
                shared / size_a,
                shared / size_b,
                np.minimum(size_a, size_b) / np.maximum(size_a, size_b),
            ]
        table = np.stack(found, axis=1, dtype=np.float32)
        return np.concatenate([table, table**2], axis=1)

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """What was learned: vocabularies and weights of n-grams."""
        found: dict[str, npt.NDArray[Any]] = {}
        for name, vectorizer in zip(("words", "characters"), self.vectorizers, strict=True):
            ordered = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
            found[name] = as_array(dict.fromkeys(ordered))
            found[f"{name}_idf"] = vectorizer.idf_.astype(np.float32)
        return {**found, "center": self.center, "scale": self.scale}


class CosineFloor(Floor):
    """Gives cosines of TF-IDFs, fitted on training texts alone; see :meth:`Features.cosines`."""

    format: ClassVar[str] = "tf-idf"

    def __init__(self, texts: Sequence[str]) -> None:
        self.features = Features((texts, None))

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        return self.features.arrays()


def _fitted(texts: Sequence[str], *, words: bool) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    options: dict[str, Any] = {"sublinear_tf": True, "dtype": np.float32, "max_features": _MOST}
    if words:
        # Signs are words too: a question mark says much.
        options |= {"token_pattern": r"(?u)\w+|[^\w\s]", "ngram_range": (1, 2)}
    else:
        options |= {"analyzer": "char_wb", "ngram_range": (2, 4)}
    least = 2 if len(texts) >= _RARE_FROM else 1
    try:
        return TfidfVectorizer(min_df=least, **options).fit(texts)
    except ValueError:  # nothing occurs twice
        return TfidfVectorizer(min_df=1, **options).fit(texts)


def _dot(a: Matrix, b: Matrix) -> npt.NDArray[np.float32]:
    """Products of rows, (N,)."""
    return np.asarray(a.multiply(b).sum(axis=1), dtype=np.float32).ravel()
