"""Intervals of scores, and which differences between models are more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from distill.evaluation.bootstrap import draw
from distill.evaluation.ledger import steps
from distill.evaluation.results import LINEAR, MAJORITY, TEACHER, Change, Results
from distill.tasks.scorers import Scorer


def with_noise(results: Results, scorers: Mapping[str, Scorer], rows: int) -> Results:
    """Results with the 95 % interval of every score, and the differences that matter.

    Compared are every step with what it was made from, the students with the baseline, and the
    teacher and the final model with the linear one; the teacher also with the majority class.

    Args:
        results: all models of a run.
        scorers: by model, and by :data:`MAJORITY`; models without one have no interval.
        rows: how many scored rows there are.
    """
    draws = draw(scorers, rows)
    scores = {row.name: row.score for row in results.models}
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
    return results.model_copy(update={"models": models, "changes": changes})


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
