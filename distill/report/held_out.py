"""What a run over unlabelled text gained: losses on held-out text before and after each training.

Such a run has no score, so it has no ``results.json``; its numbers stand in the stages' own
``stage.json`` as ``before`` and ``after``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill.report.columns import align
from distill.report.run_data import RunData, read_run


@dataclass(frozen=True)
class HeldOut:
    """One measure of one stage on held-out text.

    Args:
        stage: the stage's name.
        steps: optimiser steps of its training.
        measure: such as ``loss``.
        before: before the first step.
        after: after the last one.
    """

    stage: str
    steps: int
    measure: str
    before: float
    after: float


def held_out(run: RunData) -> list[HeldOut]:
    """The measures of all finished stages, in order; empty for a run with a score."""
    return [
        HeldOut(stage.name, stage.steps or 0, measure, before, stage.after[measure])
        for stage in run.stages
        for measure, before in stage.before.items()
        if measure in stage.after
    ]


def table(rows: list[HeldOut]) -> list[list[str]]:
    """The measures as rows of text, titles first."""
    titles = ["stage", "steps", "held-out", "before", "after", "change"]
    return [titles] + [
        [
            row.stage,
            f"{row.steps:,}",
            row.measure,
            f"{row.before:.4f}",
            f"{row.after:.4f}",
            f"{row.after / row.before - 1:+.1%}" if row.before else "-",
        ]
        for row in rows
    ]


def as_plain(run: Path) -> dict[str, Any]:
    """The measures of a run as plain values."""
    return {"schema": 1, "held_out": [asdict(row) for row in held_out(read_run(run))]}


def as_lines(run: Path) -> list[str]:
    """The measures of a run as aligned lines; none for a run with a score."""
    rows = held_out(read_run(run))
    if not rows:
        return []
    cells = table(rows)
    return align(cells, words=len(cells[0]))
