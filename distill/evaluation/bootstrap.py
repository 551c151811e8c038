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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from distill.evaluation.ledger import steps
from distill.evaluation.results import LINEAR, MAJORITY, TEACHER, Change, Results
from distill.tasks.scorers import Floats, Scorer

_DRAWS, _FEWEST_DRAWS = 1000, 200
#: Numbers drawn in all; beyond it there are fewer draws, whose intervals are narrow by then.
_MOST_NUMBERS = 50_000_000
_CHUNK = 2_000_000  # numbers held at once
#: The percentiles of a 95 % interval.
TAILS = (2.5, 97.5)


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
        low, high = np.percentile(self.scores[model], TAILS)
        return float(low), float(high)

    def difference(self, model: str, other: str) -> tuple[float, float]:
        """The 95 % interval of a model's score less another's."""
        low, high = np.percentile(self.scores[model] - self.scores[other], TAILS)
        return float(low), float(high)


def draw(scorers: Mapping[str, Scorer], rows: int, *, seed: int = 0) -> Draws:
    """Score models on rows drawn again with replacement.

    Args:
        scorers: by model, all of the same rows.
        rows: how many examples there are (N).
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


def with_noise(results: Results, scorers: Mapping[str, Scorer], rows: int) -> Results:
    """Results with the 95 % interval of every score, and the differences that matter.

    Compared are every step with what it was made from, the students with the baseline, and the
    teacher and the final model with the linear one; the teacher also with the majority class.

    Args:
        results: all models of a run.
        scorers: by model, and by :data:`MAJORITY`; models without one have no interval.
        rows: how many scored examples there are.
    """
    draws = draw(scorers, rows)
    scores = {row.name: row.score for row in results.models}
    targets = results.targets
    if targets is not None:
        scores[TEACHER] = targets.score
        if TEACHER in draws.scores:
            targets = targets.model_copy(update={"interval": draws.interval(TEACHER)})
    if MAJORITY in draws.scores:
        scores[MAJORITY] = float(scorers[MAJORITY](draws.whole(rows))[0])
    changes = []
    for model, than in dict.fromkeys(_compared(results)):
        if model in draws.scores and than in draws.scores:
            low, high = draws.difference(model, than)
            change = scores[model] - scores[than]
            changes.append(Change(model=model, than=than, change=change, low=low, high=high))
    models = [
        row.model_copy(update={"interval": draws.interval(row.name)})
        if row.name in draws.scores
        else row
        for row in results.models
    ]
    found = {"models": models, "changes": changes, "targets": targets}
    return results.model_copy(update=found)


def _compared(results: Results) -> Iterator[tuple[str, str]]:
    """Pairs of models, the later one first."""
    yield TEACHER, LINEAR
    yield TEACHER, MAJORITY
    for row, before in steps(results):
        if before is not None:
            yield row.name, before.name
            if results.baseline is not None:
                yield row.name, results.baseline.name
    yield results.final.name, LINEAR
