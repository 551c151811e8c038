"""Scores of the vectors of pairs: how their cosines follow given similarities, or what they find.

Legend: N pairs of a query and a passage, or of two sentences; F their sentences (2 N), Q queries,
P passages, D width of the vectors.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.system.errors import DataError
from distill.tasks.measures import MEASURES, Floats, Ids, recall
from distill.tasks.metrics import Collected, Correlation

#: Measures of one query's scores (P,) and relevances (P,), by the metric's name.
RETRIEVAL = {**MEASURES, "recall@10": recall}
#: Queries that are compared with all passages at once.
_CHUNK = 256


def by_query(
    metric: str, vectors: npt.NDArray[np.float32], texts: Ids, relevance: Floats
) -> tuple[Ids, Floats]:
    """A measure of each query over all passages.

    Queries are the different first texts of the pairs that have a relevant passage (above 0), the
    passages all different second texts, those of irrelevant pairs included.

    Args:
        metric: a key of :data:`RETRIEVAL`; returned after each query's first relevant pair, (Q,).
        vectors: of length 1, pair by pair the query's and the passage's, (F, D).
        texts: a number for each, the same for equal texts, (F,).
        relevance: of each pair, (N,).
    """
    asked, place = texts[::2], np.unique(texts[1::2], return_index=True, return_inverse=True)
    _, first, passage = place  # (P,), (N,)
    relevant = np.flatnonzero(relevance > 0)
    order = relevant[np.argsort(asked[relevant], kind="stable")]
    pairs = np.split(order, np.flatnonzero(np.diff(asked[order])) + 1) if len(order) else []
    passages = vectors[1::2][first]  # (P, D)
    values: list[float] = []
    for start in range(0, len(pairs), _CHUNK):
        own = pairs[start : start + _CHUNK]
        scores = vectors[::2][[pair[0] for pair in own]] @ passages.T  # (at most _CHUNK, P)
        for row, pair in zip(scores.astype(np.float64), own, strict=True):
            belongs = np.zeros(len(first))
            np.maximum.at(belongs, passage[pair], relevance[pair])
            values.append(RETRIEVAL[metric](row, belongs))
    return np.array([pair[0] for pair in pairs], dtype=np.int64), np.array(values)


class PairMetric(Collected):
    """Base of the scores of vectors of pairs.

    Sentence number 2k is the first one of pair k and 2k + 1 the second; they may come in different
    batches, in any order, and on different processes. A batch brings vectors (F, D), which sentence
    each is, (F,), and what is known of the pair that each belongs to, (F,).

    Args:
        *args: those of the other base.
        width: the first so many dimensions of the vectors alone; ``None`` takes all.
    """

    kept: ClassVar[tuple[str, ...]] = ("vectors", "numbers", "given")

    def __init__(self, *args: Any, width: int | None = None) -> None:
        super().__init__(*args)
        self.width = width

    def update(self, *values: Tensor) -> None:
        vectors, *others = values
        super().update(F.normalize(vectors.detach().float(), dim=-1), *others)

    def pairs(self) -> list[Tensor]:
        """All vectors, pair by pair, (2 N, D), what is known of the pairs, (N,), and what more.

        Raises:
            DataError: a sentence of a pair was not given.
        """
        vectors, numbers, given, *more = self.whole()
        order = numbers.argsort()
        pairs = numbers[order].view(-1, 2) if len(order) % 2 == 0 else numbers[:0]
        if len(pairs) == 0 or not torch.equal(pairs[:, 0] + 1, pairs[:, 1]) or pairs[0, 0] % 2:
            raise DataError("vectors are scored in pairs, and not all pairs are there whole")
        if self.width is not None:
            vectors = F.normalize(vectors[:, : self.width], dim=-1)
        return [vectors[order], given[order][::2].double(), *(one[order] for one in more)]


class PairCorrelation(PairMetric, Correlation):
    """How the cosines of pairs follow their given similarities.

    ``pearson`` says how near to a line the similarities are, ``spearman`` how near to their order.
    """

    def columns(self) -> tuple[Tensor, Tensor]:
        vectors, given = self.pairs()
        both = vectors.view(len(given), 2, -1)  # (N, 2, D)
        return (both[:, 0] * both[:, 1]).sum(dim=-1), given


class RetrievalScore(PairMetric):
    """The mean of a measure over the queries, each looked for among all passages.

    A batch brings a number for each text too, the same for equal ones, (F,).
    """

    kept: ClassVar[tuple[str, ...]] = (*PairMetric.kept, "texts")

    def __init__(self, metric: str, *, width: int | None = None) -> None:
        super().__init__(width=width)
        self.metric = metric

    def compute(self) -> Tensor:
        vectors, given, texts = (one.cpu().numpy() for one in self.pairs())
        _, values = by_query(self.metric, vectors, texts, given)
        return torch.tensor(values.mean() if len(values) else 0.0, dtype=torch.float64)
