"""How well vectors find what belongs to a query among all passages of a split.

Legend: N pairs of a query and a passage, F their sentences (2 N), Q queries, P passages, D width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from distill.tasks.measures import MEASURES, Floats, recall
from distill.tasks.vectors.similarity import PairMetric

#: Measures of one query's scores (P,) and relevances (P,), by the metric's name.
RETRIEVAL = {**MEASURES, "recall@10": recall}
#: Queries that are compared with all passages at once.
_CHUNK = 256

Ids = npt.NDArray[np.int64]


def numbered(texts: Iterable[str]) -> Ids:
    """A number for each text, the same one for equal texts."""
    known: dict[str, int] = {}
    return np.fromiter((known.setdefault(text, len(known)) for text in texts), dtype=np.int64)


def by_query(
    metric: str, vectors: npt.NDArray[np.float32], texts: Ids, relevance: Floats
) -> tuple[Ids, Floats]:
    """A measure of each query over all passages.

    Queries are the different first texts of the pairs that have a relevant passage (above 0), the
    passages all different second texts, those of irrelevant pairs included.

    Args:
        metric: a key of :data:`RETRIEVAL`.
        vectors: of length 1, pair by pair the query's and the passage's, (F, D).
        texts: a number for each, the same for equal texts, (F,).
        relevance: of each pair, (N,).

    Returns:
        The first relevant pair of each query, (Q,), and the measure, (Q,).
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


class RetrievalScore(PairMetric):
    """The mean of a measure over the queries, each looked for among all passages.

    Args:
        metric: a key of :data:`RETRIEVAL`.
        width: see :class:`PairMetric`.
        **options: those of :class:`torchmetrics.Metric`.
    """

    texts: list[Tensor]

    def __init__(self, metric: str, *, width: int | None = None, **options: Any) -> None:
        super().__init__(width=width, **options)
        self.metric = metric
        self.add_state("texts", default=[], dist_reduce_fx="cat")

    def update(self, vectors: Tensor, numbers: Tensor, given: Tensor, texts: Tensor) -> None:
        """Take sentences; see :meth:`PairMetric.take`.

        Args:
            vectors: (F, D).
            numbers: which sentence each is, (F,).
            given: the relevance of the pair that each belongs to, (F,).
            texts: a number for each text, (F,).
        """
        self.take(vectors, numbers, given)
        self.texts.append(texts)

    def compute(self) -> Tensor:
        """The mean over the queries; 0 where there are none."""
        vectors, given, order = self.whole()
        texts = dim_zero_cat(self.texts)[order]
        arrays = (vectors.cpu().numpy(), texts.cpu().numpy(), given.cpu().numpy())
        _, values = by_query(self.metric, *arrays)
        return torch.tensor(values.mean() if len(values) else 0.0, dtype=torch.float64)
