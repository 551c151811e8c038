r"""How far scores would be other with other rows: intervals, and paired differences of two models.

Rows are drawn again with replacement, the same draws for every model, so that the difference of two
models is that on the same rows. A model scores :math:`s_r` on draw r; the 95 % interval is from the
2.5th to the 97.5th percentile of :math:`s_r`, that of a difference from those of
:math:`s_r - t_r`. A difference whose interval holds 0 is within the noise.

Every trial of a study keeps its model's scores on draws (:func:`write_draws`). The draws depend on
nothing but how many examples there are, so those of two trials on the same examples are pairs: a
difference is their mean over seeds, then over tasks, draw by draw.

Legend: R draws, N rows.

Reference:
    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; Berg-Kirkpatrick et al.
    2012, An Empirical Investigation of Statistical Significance in NLP (the paired test).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from distill.evaluation.ledger import steps
from distill.evaluation.results import LINEAR, MAJORITY, TEACHER, Change, Results
from distill.evaluation.study import Row, StudyResults
from distill.system import atomic
from distill.tasks.analysis import Analysis
from distill.tasks.scorers import Floats, Scorer

_DRAWS, _FEWEST_DRAWS = 1000, 200
#: Numbers drawn in all; beyond it there are fewer draws, whose intervals are narrow by then.
_MOST_NUMBERS = 50_000_000
_CHUNK = 2_000_000  # numbers held at once
#: The file in the folder of the stage that a trial is scored after.
DRAWS = "draws.npz"


def interval(scores: Floats) -> tuple[float, float]:
    """The 95 % interval of scores on draws, or of differences, (R,)."""
    low, high = np.percentile(scores, (2.5, 97.5))
    return float(low), float(high)


def draw(scorers: Mapping[str, Scorer], rows: int) -> dict[str, Floats]:
    """Scores (R,), by model, on N rows drawn again with replacement: the same for every model."""
    found: dict[str, list[Floats]] = {name: [] for name in scorers}
    for counts in _counts(rows):
        for name, scorer in scorers.items():
            found[name].append(scorer(counts))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _counts(rows: int) -> Iterator[Floats]:
    """How often each row is drawn, (R, N) in all, some draws at a time."""
    random = np.random.default_rng(0)
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
    Scorers are by model and :data:`MAJORITY`; models without one have no interval.
    """
    draws = draw(scorers, rows)
    scores = {row.name: row.score for row in results.models}
    targets = results.targets
    if targets is not None:
        scores[TEACHER] = targets.score
        if TEACHER in draws:
            targets = targets.model_copy(update={"interval": interval(draws[TEACHER])})
    if MAJORITY in draws:
        scores[MAJORITY] = float(scorers[MAJORITY](np.ones((1, rows)))[0])
    changes = []
    for model, than in dict.fromkeys(_compared(results)):
        if model in draws and than in draws:
            low, high = interval(draws[model] - draws[than])
            change = scores[model] - scores[than]
            changes.append(Change(model=model, than=than, change=change, low=low, high=high))
    models = [
        row.model_copy(update={"interval": interval(draws[row.name])}) if row.name in draws else row
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


def write_draws(folder: Path, analysis: Analysis, model: str) -> list[Path]:
    """Write a model's scores on draws of the examples into its stage's folder.

    Returns:
        The file; none where the predictions of the model are not known.
    """
    scorer = analysis.scorer(model) if model in analysis.models else None
    if scorer is None:
        return []
    scores, examples = draw({model: scorer}, len(analysis))[model], analysis.split.text_digest
    atomic.write_arrays(folder / DRAWS, scores=scores, examples=np.array(examples))
    return [folder / DRAWS]


def with_intervals(folder: Path, results: StudyResults) -> StudyResults:
    """A study whose variants have the 95 % interval of their difference, where it is known.

    A variant is compared with the one that the study compares to, a search's with its best.
    """
    base = results.chosen.variant if results.chosen is not None else results.compare_to
    base = base or results.compare_to
    rows = [_with_interval(folder, results, row, base) for row in results.variants]
    return results.model_copy(update={"variants": rows})


def _with_interval(folder: Path, results: StudyResults, row: Row, base: str) -> Row:
    tasks = []
    for task in results.tasks if row.name != base else ():
        ours, theirs = (_draws(folder, results, name, task.name) for name in (row.name, base))
        pairs = [
            ours[seed][1] - theirs[seed][1]
            for seed in ours.keys() & theirs.keys()
            if ours[seed][0] == theirs[seed][0]
        ]
        if pairs:
            tasks.append(np.mean(pairs, axis=0))
    # With fewer draws of many examples, the first of the others.
    count = min(map(len, tasks), default=0)
    if not count:
        return row.model_copy(update={"low": None, "high": None})
    low, high = interval(np.mean([one[:count] for one in tasks], axis=0))
    return row.model_copy(update={"low": low, "high": high})


def _draws(
    folder: Path, results: StudyResults, variant: str, task: str
) -> dict[int, tuple[str, Floats]]:
    """What the examples are, and the scores on draws of them (R,), by seed."""
    found = {}
    for trial in results.trials:
        files = sorted((folder / trial.folder).glob(f"*/{DRAWS}"))  # the last stage's is the last
        if files and (trial.variant, trial.task, trial.status) == (variant, task, "done"):
            with np.load(files[-1], allow_pickle=False) as content:
                found[trial.seed] = str(content["examples"]), content["scores"]
    return found
