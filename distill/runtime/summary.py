"""Extractive summaries: the sentences of a text that are nearest to all its others.

Legend: N sentences, D width of a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from distill.system.errors import DataError
from distill.tasks.decoder import unit
from distill.text.sentences import sentence_spans, tidy, words_in

if TYPE_CHECKING:
    from distill.runtime.model import BundleModel

Floats = npt.NDArray[np.floating[Any]]
Centrality = Literal["lexrank", "degree"]

#: Rows of the N x N similarities that are in memory at once.
_BLOCK = 1024
_ITERATIONS, _SETTLED = 200, 1e-9


@dataclass(frozen=True)
class Sentence:
    """A sentence of a summary, in one line."""

    text: str
    number: int  # which sentence of the text it is, from 1
    start: int  # where it begins in the text, in characters
    end: int  # where it ends
    score: float  # its centrality; 1 is the most central sentence of the text


def summarise(
    encoder: BundleModel,
    text: str,
    *,
    sentences: int = 5,
    centrality: Centrality = "lexrank",
    threshold: float = 0.0,
    diversity: float = 0.3,
    shortest: int = 4,
) -> list[Sentence]:
    """The most central sentences of a text, in the text's own order.

    Every sentence gets a vector; the sentences most like all others are taken, one after the
    other, each weighed down by its likeness to those that are taken already (maximal marginal
    relevance).

    Args:
        encoder: a sentence encoder: gives the vectors.
        text: the text.
        sentences: how many are taken; all, where the text has fewer.
        centrality: see :func:`centralities`.
        threshold: likeness (a cosine) up to which two sentences count as not alike.
        diversity: 0 takes the most central sentences, repetition or not; 1 only avoids repetition.
        shortest: sentences of fewer words are not taken, unless there are no others.

    Raises:
        DataError: the text is empty, or a setting is out of its range.

    Reference:
        Erkan and Radev 2004, LexRank; Carbonell and Goldstein 1998 for the choice.

    Example:
        >>> for sentence in summarise(load("runs/stsb-vectors"), text):  # doctest: +SKIP
        ...     print(sentence.number, sentence.text)
    """
    if sentences < 1:
        raise DataError(f"sentences is {sentences}; it must be 1 or more")
    for name, share in (("threshold", threshold), ("diversity", diversity)):
        if not 0 <= share <= 1:
            raise DataError(f"{name} is {share:g}; it must be from 0 to 1")
    spans = sentence_spans(text)
    if not spans:
        raise DataError("the text is empty; there is nothing to summarise")
    texts = [tidy(text[start:end]) for start, end in spans]
    long = [index for index, one in enumerate(texts) if words_in(one) >= shortest]
    kept = long or list(range(len(texts)))
    vectors = unit(encoder.encode([texts[index] for index in kept]))  # (N, D)
    scores = centralities(vectors, kind=centrality, threshold=threshold)  # (N,)
    chosen = choose(vectors, scores, count=sentences, diversity=diversity)
    return [
        Sentence(texts[kept[place]], kept[place] + 1, *spans[kept[place]], float(scores[place]))
        for place in sorted(chosen)
    ]


def centralities(
    vectors: Floats, *, kind: Centrality = "lexrank", threshold: float = 0.0, damping: float = 0.85
) -> npt.NDArray[np.float64]:
    r"""How central each sentence is; the most central one has 1.

    With :math:`W_{ij} = \max(0, \cos_{ij})` where that is above the threshold, else 0:

    - ``degree``: :math:`d_i = \sum_j W_{ij}`;
    - ``lexrank``: the fixed point of :math:`p = (1 - a)/N + a\,W (p / d)`, by power iteration: a
      sentence is central that is like central sentences.

    Args:
        vectors: unit vectors (N, D).
        kind: which of them.
        threshold: see above.
        damping: a, the share of LexRank that goes from sentence to sentence.

    Returns:
        (N,). Memory does not grow with the square of N.
    """
    count = len(vectors)
    degree = _likeness_times(vectors, np.ones(count), threshold)  # (N,)
    if kind == "degree":
        return np.asarray(degree / degree.max())
    rank = np.full(count, 1.0 / count)
    for _ in range(_ITERATIONS):
        spread = _likeness_times(vectors, rank / degree, threshold)
        new = (1 - damping) / count + damping * spread
        settled = np.abs(new - rank).sum() < _SETTLED
        rank = new
        if settled:
            break
    return np.asarray(rank / rank.max())


def _likeness_times(
    vectors: Floats, weights: npt.NDArray[np.float64], threshold: float
) -> npt.NDArray[np.float64]:
    """``W @ weights``, (N,), some rows of W at a time; a sentence is like itself by 1."""
    parts = []
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        likeness = (block @ vectors.T).astype(np.float64)  # (block, N)
        likeness[likeness <= threshold] = 0.0
        rows = np.arange(len(block))
        likeness[rows, start + rows] = 1.0  # so that no sentence has a degree of 0
        parts.append(likeness @ weights)
    return np.concatenate(parts)


def choose(
    vectors: Floats, scores: npt.NDArray[np.float64], *, count: int, diversity: float
) -> list[int]:
    r"""Take sentences one by one: the best by :math:`(1 - b) s_i - b \max_{j taken} \cos_{ij}`.

    With unit vectors (N, D), scores s (N,) and diversity b. Gives places in the order in which they
    were taken: ``count`` of them, or all where there are fewer.
    """
    likest = np.zeros(len(vectors))  # (N,) to the nearest one taken
    left = np.ones(len(vectors), dtype=bool)
    taken: list[int] = []
    for _ in range(min(count, len(vectors))):
        value = np.where(left, (1 - diversity) * scores - diversity * likest, -np.inf)
        best = int(value.argmax())
        taken.append(best)
        left[best] = False
        likest = np.maximum(likest, vectors @ vectors[best])
    return taken
