"""How good the order of a query's candidates is, without luck where scores are equal.

Candidates with equal scores stand in no order. Every measure is the mean over all orders that they
may stand in, so that a model which gives all candidates one score scores as a random order does.

Legend: K candidates of a query, N queries, F candidates of all queries.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from math import comb

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
#: Of scores (K,) and relevances (K,) of one query.
Measure = Callable[[Floats, Floats], float]
#: Places that are looked at.
DEPTH = 10
_DISCOUNTS = 1 / np.log2(np.arange(2, DEPTH + 2))  # (10,)


def _ties(scores: Floats, relevance: Floats) -> list[Floats]:
    """The relevances of candidates with one score, by falling score; no number is the lowest."""
    known = np.where(np.isnan(scores), -np.inf, scores)
    if len(known) > DEPTH:  # what is behind the places that are looked at counts for nothing
        kept = known >= np.partition(known, -DEPTH)[-DEPTH]
        known, relevance = known[kept], relevance[kept]
    order = np.argsort(-known, kind="stable")
    ordered = known[order]
    cuts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return np.split(relevance[order], cuts)


def ndcg(scores: Floats, relevance: Floats) -> float:
    r"""Normalised discounted cumulative gain of the first 10.

    .. math:: \frac{\sum_{i \le 10} y_{\pi(i)} / \log_2(i + 1)}{\sum_{i \le 10} y_{\sigma(i)} /
        \log_2(i + 1)}

    with the relevances y, the order :math:`\pi` by scores and the best one, :math:`\sigma`. Without
    a relevant candidate it is 0.

    Reference:
        Järvelin and Kekäläinen 2002; ties as in McSherry and Najork 2008 and scikit-learn.
    """
    best = np.sort(relevance)[::-1][:DEPTH]
    ideal = float(best @ _DISCOUNTS[: len(best)])
    if ideal == 0:
        return 0.0
    gain, place = 0.0, 0
    for tied in _ties(scores, relevance):
        gain += float(tied.mean() * _DISCOUNTS[place : place + len(tied)].sum())
        place += len(tied)
    return gain / ideal


def reciprocal_rank(scores: Floats, relevance: Floats) -> float:
    """One divided by the place of the first candidate with relevance, 0 where none is among 10."""
    place = 0
    for tied in _ties(scores, relevance):
        size, good = len(tied), int((tied > 0).sum())
        if good:
            # The first relevant one of these is the k-th in comb(size - k, good - 1) orders.
            last = min(size - good + 1, DEPTH - place)
            orders = [comb(size - k, good - 1) / (place + k) for k in range(1, last + 1)]
            return sum(orders) / comb(size, good)
        place += size
    return 0.0


def recall(scores: Floats, relevance: Floats) -> float:
    """The share of a query's relevant candidates that are among the first 10, 0 without any."""
    good, place = 0.0, 0
    for tied in _ties(scores, relevance):
        good += float((tied > 0).mean()) * min(len(tied), DEPTH - place)
        place += len(tied)
        if place >= DEPTH:
            break
    return good / max(1, int((relevance > 0).sum()))


MEASURES: dict[str, Measure] = {"ndcg@10": ndcg, "mrr@10": reciprocal_rank}


def by_query(
    measure: Measure,
    scores: npt.NDArray[np.floating],
    relevance: Floats,
    ends: npt.NDArray[np.int_],
) -> Floats:
    """A measure of each query, (N,).

    Args:
        measure: one of :data:`MEASURES`.
        scores: of all candidates, query by query, (F,).
        relevance: theirs, (F,).
        ends: where each query's candidates end, (N,).
    """
    cuts = ends[:-1]
    parts = zip(np.split(scores.astype(np.float64), cuts), np.split(relevance, cuts), strict=True)
    return np.array([measure(own, true) for own, true in parts])


def numbered(keys: Iterable[Hashable]) -> Ids:
    """A number for each key in the order in which they first occur, the same one for equal keys."""
    known: dict[Hashable, int] = {}
    return np.fromiter((known.setdefault(key, len(known)) for key in keys), dtype=np.int64)
