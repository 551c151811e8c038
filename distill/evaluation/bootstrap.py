r"""How far scores would be other with other rows: intervals, and paired differences of two models.

Rows are drawn again with replacement, the same draws for every model, so that the difference of two
models is that on the same rows. A model scores :math:`s_r` on draw r; the 95 % interval is from the
2.5th to the 97.5th percentile of :math:`s_r`, that of a difference from those of
:math:`s_r - t_r`. A difference whose interval holds 0 is within the noise.

Legend: R draws, N rows.

Reference:
    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; Berg-Kirkpatrick et al.
    2012, An Empirical Investigation of Statistical Significance in NLP (the paired test).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: How often each row was drawn, (R, N), to the score on each draw, (R,).
Scorer = Callable[[Floats], Floats]

_DRAWS, _FEWEST_DRAWS = 1000, 200
#: Numbers drawn in all; beyond it there are fewer draws, whose intervals are narrow by then.
_MOST_NUMBERS = 50_000_000
_CHUNK = 2_000_000  # numbers held at once
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Draws:
    """The scores of models on the same draws.

    Args:
        scores: by model, (R,).
    """

    scores: Mapping[str, Floats]

    @staticmethod
    def whole(rows: int) -> Floats:
        """Every row drawn once, (1, N)."""
        return np.ones((1, rows))

    def interval(self, model: str) -> tuple[float, float]:
        """The 95 % interval of a model's score."""
        low, high = np.percentile(self.scores[model], _TAILS)
        return float(low), float(high)

    def difference(self, model: str, other: str) -> tuple[float, float]:
        """The 95 % interval of a model's score less another's."""
        low, high = np.percentile(self.scores[model] - self.scores[other], _TAILS)
        return float(low), float(high)


def draw(scorers: Mapping[str, Scorer], rows: int, *, seed: int = 0) -> Draws:
    """Score models on rows drawn again with replacement.

    Args:
        scorers: by model, all of the same rows.
        rows: how many rows there are (N).
        seed: seeds the draws.
    """
    found: dict[str, list[Floats]] = {name: [] for name in scorers}
    for counts in _counts(rows, seed):
        for name, scorer in scorers.items():
            found[name].append(scorer(counts))
    return Draws({name: np.concatenate(parts) for name, parts in found.items()})


def _counts(rows: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn, (R, N) in all, some draws at a time."""
    random = np.random.default_rng(seed)
    left = min(_DRAWS, max(_FEWEST_DRAWS, _MOST_NUMBERS // rows))
    while left:
        some = min(left, max(1, _CHUNK // rows))
        numbers = random.integers(0, rows, size=(some, rows)) + np.arange(some)[:, None] * rows
        counts = np.bincount(numbers.ravel(), minlength=some * rows)
        yield counts.reshape(some, rows).astype(np.float64)
        left -= some


def mean_scorer(values: npt.NDArray[np.floating] | npt.NDArray[np.bool_]) -> Scorer:
    """The mean of a value of each row, (N,): accuracy, exact match, F1 of answers."""
    wide = np.asarray(values, dtype=np.float64)
    return lambda counts: counts @ wide / len(wide)


def sums_scorer(sums: Floats, score: Callable[[Floats], Floats]) -> Scorer:
    """A score of sums over rows.

    Args:
        sums: what each row adds, (N, K).
        score: sums (R, K) to scores (R,).
    """
    return lambda counts: score(counts @ sums)


def pearson_scorer(found: npt.NDArray[np.floating], true: npt.NDArray[np.floating]) -> Scorer:
    """Pearson's correlation of two (N,)."""
    # Centred first: sums of squares of large numbers would lose their differences.
    x, y = (np.asarray(v, dtype=np.float64) - np.mean(v, dtype=np.float64) for v in (found, true))

    def scorer(counts: Floats) -> Floats:
        return _correlation(counts, np.broadcast_to(x, counts.shape), y[None, :])

    return scorer


def spearman_scorer(found: npt.NDArray[np.floating], true: npt.NDArray[np.floating]) -> Scorer:
    """Pearson's correlation of the ranks of two (N,) in each draw; equal values share the mean."""
    groups = [_Groups(values) for values in (found, true)]

    def scorer(counts: Floats) -> Floats:
        x, y = (group.ranks(counts) for group in groups)
        return _correlation(counts, x, y)

    return scorer


class _Groups:
    """Rows of equal values, in the order of these."""

    def __init__(self, values: npt.NDArray[np.floating]) -> None:
        self.order = np.argsort(values, kind="stable")
        ordered = np.asarray(values)[self.order]
        fresh = np.append(True, ordered[1:] != ordered[:-1])
        self.firsts = np.flatnonzero(fresh)
        self.group_of = np.empty(len(values), dtype=np.int64)
        self.group_of[self.order] = np.cumsum(fresh) - 1

    def ranks(self, counts: Floats) -> Floats:
        """The rank of each row among the drawn ones, (R, N), from 0."""
        sizes = np.add.reduceat(counts[:, self.order], self.firsts, axis=1)
        ranks = np.cumsum(sizes, axis=1) - (sizes + 1) / 2
        return ranks[:, self.group_of]


def _correlation(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Weighted correlation of (R, N); 0 where one of both is the same in all drawn rows."""
    total = counts.sum(axis=1, keepdims=True)
    x = x - (counts * x).sum(axis=1, keepdims=True) / total
    y = y - (counts * y).sum(axis=1, keepdims=True) / total
    xy, xx, yy = ((counts * product).sum(axis=1) for product in (x * y, x * x, y * y))
    scale = np.sqrt(xx * yy)
    # What is constant but for rounding has no correlation.
    alike = scale <= 1e-12 * np.maximum(xx.max(initial=0), yy.max(initial=0))
    return np.where(alike, 0.0, xy / np.where(alike, 1.0, scale))
