"""What a search maximises: a trial's validation score, within limits of what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from distill.evaluation.cells import latency_cell, throughput_cell
from distill.evaluation.results import ModelRow, Results, read_results
from distill.recipe.schema import Limits

if TYPE_CHECKING:
    from distill.evaluation.study import StudyResults, TrialResult

#: What a failed trial is worth: less than any score, and than any trial beyond a limit.
FAILED = -1000.0


def trial_value(limits: Limits | None, folder: Path, result: TrialResult) -> float:
    """What a trial is worth: its validation score; beyond limits, less than any within."""
    score = result.score if result.validation is None else result.validation
    if score is None or result.status == "failed":
        return FAILED
    if limits is None:
        return score
    if result.status == "stopped":
        return FAILED  # it was never measured
    over = excess(limits, read_results(folder / result.folder).final)
    return score if over == 0 else min(score, 0.0) - 1 - over


def excess(limits: Limits, final: ModelRow) -> float:
    """How far a model is beyond limits: the sum of its relative excesses; 0 where it keeps all.

    Each is the measured number by the limit, less 1; the other way round for what must be at
    least so much. A number that was not measured counts as 1.
    """
    return sum(max(0.0, ratio - 1) for ratio in limits.ratios(measured(final)).values())


def measured(final: ModelRow) -> Limits:
    """What was measured of a model, of what limits may name."""
    cell, many = latency_cell(set(final.latency_ms)), throughput_cell(set(final.throughput))
    found = {
        "latency_ms": final.latency_ms[cell].p50 if cell else None,
        "size_mb": final.bytes / 1e6,
        "throughput": final.throughput[many] if many else None,
        "retention": final.retention,
    }
    return Limits(**{name: value for name, value in found.items() if value and value > 0})


def within(results: Results, limits: Limits, validation: Mapping[str, float]) -> Results:
    """Results whose final model is the exported format that fits limits best.

    Of those that keep them it is the most accurate on the validation examples, of equal ones the
    fastest; where none does, the one that is nearest.
    """
    rows = [row for row in results.models if row.name in validation]

    def order(row: ModelRow) -> tuple[float, float, float]:
        return excess(limits, row), -validation[row.name], measured(row).latency_ms or 0.0

    final = min(rows, key=order, default=results.final)
    others = [row for row in results.models if row is not final]
    return results.model_copy(update={"models": [*others, final]})


_UNITS = {
    "latency_ms": "{:.3g} ms",
    "size_mb": "{:.3g} MB",
    "throughput": "{:.4g} examples/s",
    "retention": "{:.1%} of the teacher",
}


def target_words(limits: Limits, found: Limits | None) -> str:
    """Limits beside what was measured: ``target 1.00 ms, measured 0.97 ms``."""
    parts = []
    for name, limit in limits.model_dump(exclude_none=True).items():
        value = getattr(found, name) if found is not None else None
        told = "nothing" if value is None else _unit(name, value)
        parts.append(f"target {_unit(name, limit)}, measured {told}")
    return "; ".join(parts)


def _unit(name: str, value: float) -> str:
    if name == "latency_ms" and value < 10:
        return f"{value:.2f} ms" if value >= 0.1 else f"{value:.3g} ms"
    return _UNITS[name].format(value)


def nearest(limits: Limits, folder: Path, results: StudyResults) -> str:
    """Which trial of a study comes nearest to limits that none keeps, and what it misses."""
    done = results.measured()
    if not done:
        return "no trial came to its end"
    finals = [(trial, read_results(folder / trial.folder).final) for trial in done]
    trial, final = min(finals, key=lambda pair: excess(limits, pair[1]))
    missed = ", ".join(limits.missed(measured(final))) or "something was not measured"
    return f"{trial.variant} comes nearest: {missed}"
