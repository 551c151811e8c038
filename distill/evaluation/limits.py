"""What a search maximises: a trial's validation score, within limits of what was measured."""

from __future__ import annotations

from pathlib import Path

from distill.evaluation.cells import latency_cell, throughput_cell
from distill.evaluation.results import ModelRow, read_results
from distill.evaluation.study import TrialResult
from distill.recipe.schema import Limits

#: What a failed trial is worth: less than any score, and than any trial beyond a limit.
FAILED = -1000.0


def trial_value(limits: Limits | None, folder: Path, result: TrialResult) -> float:
    """What a trial is worth: its validation score; beyond limits, less than any within.

    Args:
        limits: what the final model must keep.
        folder: the study's.
        result: what came of the trial.
    """
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
    cell, many = latency_cell(set(final.latency_ms)), throughput_cell(set(final.throughput))
    at_most = [
        (limits.latency_ms, final.latency_ms[cell].p50 if cell else None),
        (limits.size_mb, final.bytes / 1e6),
    ]
    at_least = [
        (limits.throughput, final.throughput[many] if many else None),
        (limits.retention, final.retention),
    ]
    ratios: list[tuple[float | None, float | None]] = []
    ratios += [(measured, limit) for limit, measured in at_most if limit is not None]
    ratios += [(limit, measured) for limit, measured in at_least if limit is not None]
    return sum(
        max(0.0, above / below - 1) if above and below and below > 0 else 1.0
        for above, below in ratios
    )
