"""Whether variants of a study differ by more than chance: paired bootstrap over scored examples.

Every trial keeps its model's scores on draws of the examples (:func:`write_draws`). The draws
depend on nothing but how many examples there are, so those of two trials on the same examples are
pairs: a difference is their mean over seeds, then over tasks, draw by draw.

Legend: R draws.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distill.evaluation.bootstrap import TAILS, draw
from distill.evaluation.study import Row, StudyResults
from distill.system import atomic
from distill.tasks.analysis import Analysis
from distill.tasks.scorers import Floats

#: The file in the folder of the stage that a trial is scored after.
DRAWS = "draws.npz"


def write_draws(folder: Path, analysis: Analysis, model: str) -> list[Path]:
    """Write a model's scores on draws of the examples.

    Args:
        folder: the stage's.
        analysis: the predictions.
        model: the model.

    Returns:
        The file; none where the predictions of the model are not known.
    """
    scorer = analysis.scorer(model) if model in analysis.models else None
    if scorer is None:
        return []
    scores = draw({model: scorer}, len(analysis)).scores[model]
    path = folder / DRAWS
    with atomic.new_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, scores=scores, examples=np.array(analysis.split.text_digest)
        )
    return [path]


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
    low, high = np.percentile(np.mean([one[:count] for one in tasks], axis=0), TAILS)
    return row.model_copy(update={"low": float(low), "high": float(high)})


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
