"""What a study says in words: the one thing to take away, and what to know of its numbers."""

from __future__ import annotations

from distill.evaluation.over_seeds import ModelSpread, ModelTable, Spread
from distill.evaluation.results import is_teacher
from distill.evaluation.study import StudyResults, lines
from distill.report import numbers
from distill.report.summary import scored_rows


def change(value: float | None) -> str:
    """A difference of scores in points, with its sign."""
    # Adding zero turns what rounds to minus zero into plus zero.
    return "-" if value is None else f"{round(100 * value, 1) + 0.0:+.1f}"


def score_text(value: Spread | None) -> str:
    """A score's mean and standard deviation, with four decimals."""
    return "-" if value is None else numbers.plus_minus(value.mean, value.deviation, 4)


def share_text(value: Spread | None) -> str:
    """A share's mean and standard deviation in percent: ``96.4 ± 0.4 %``."""
    if value is None:
        return "-"
    deviation = None if value.deviation is None else 100 * value.deviation
    return f"{numbers.plus_minus(100 * value.mean, deviation, 1)} %"


def gain_text(value: Spread | None) -> str:
    """A difference of scores, with its sign."""
    return "-" if value is None else f"{'+' if value.mean >= 0 else ''}{score_text(value)}"


def summary(results: StudyResults) -> str:
    """The one thing to take away: what a change costs, or what the final model keeps."""
    if len(results.variants) == 1:
        return "; ".join(_kept(table.final, table.metric) for table in results.models)
    found = [
        line
        for line in lines(results)
        # The teacher is what is aimed at, and no change of the student.
        if line.difference and line.average is not None and not is_teacher(line.row.name)
    ]
    if not found:
        return "No two variants have been tried on every task yet"
    found.sort(key=lambda line: line.difference or 0.0)
    parts = []
    if (found[0].difference or 0) < 0:
        parts.append(f"{found[0].row.title} costs most ({change(found[0].difference)} points)")
    if (found[-1].difference or 0) > 0:
        parts.append(f"{found[-1].row.title} gains most ({change(found[-1].difference)} points)")
    return "; ".join(parts)


def _kept(final: ModelSpread, metric: str) -> str:
    if is_teacher(final.name):
        return f"{final.name}: {metric} {score_text(final.score)}; no student yet"
    kept = f"{metric} {score_text(final.score)}"
    if final.retention is not None:
        kept = f"{share_text(final.retention)} of the teacher"
    text = f"{final.name}: {kept} (n = {final.score.n})"
    if final.gain is not None:
        text += f", {gain_text(final.gain)} to the baseline, seed by seed"
    return text


def notes(results: StudyResults) -> list[str]:
    """What the tables leave open: trials to be done, failures, and what to know of the numbers."""
    asked = sum(
        len(task.seeds)
        for row in results.variants
        for task in results.tasks
        if task.name in row.tasks and not row.skipped
    )
    done = sum(trial.status == "done" for trial in results.trials)
    found = [] if done == asked else [f"{done} of {asked} trials done"]
    found += [f"{r.title} was not run: {r.skipped}" for r in results.variants if r.skipped]
    for trial in results.failures():
        parts = (trial.variant, trial.task, f"seed {trial.seed}")
        name = ", ".join(part for part in parts if part)
        found.append(f"{name} failed: {' '.join(trial.reason.split())}")
    for table in results.models:
        found += _models_notes(table)
    if any(task.examples_by_seed for task in results.tasks):
        found.append(
            "each seed drew its own examples to be scored on, which is part of the spread; "
            "differences, retention and gains are of models on the same examples"
        )
    return list(dict.fromkeys(found))


def _models_notes(table: ModelTable) -> list[str]:
    found = []
    for row in table.models:
        if row.score.n < len(table.seeds):
            made = ", ".join(map(str, row.score.values))
            found.append(f"{row.name} was made with seed {made} only")
    final = table.final
    if final.gain is not None:
        below = [str(seed) for seed, value in final.gain.values.items() if value < 0]
        if below:
            found.append(f"{final.name} is below the baseline with seed {', '.join(below)}")
    if table.disturbed:
        seeds = ", ".join(map(str, table.disturbed))
        found.append(
            f"timing was disturbed with seed {seeds}; on an idle machine: distill evaluate STUDY "
            "--rerun"
        )
    return found + scored_rows(table.split)
