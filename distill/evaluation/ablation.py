"""``ablation.json``: every cell of an ablation, and the numbers of its table.

Importing this module loads neither torch nor numpy.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from distill import atomic
from distill.errors import RunFolderError
from distill.evaluation.spread import mean_and_deviation


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CellResult(_Part):
    """What came of one variant on one task with one seed."""

    variant: str
    """The row."""
    task: str
    """The column."""
    seed: int
    """The recipe's seed."""
    key: str
    """Hash of the recipe and of the files it names: a cell with another one is done again."""
    status: Literal["done", "failed"]
    """``failed``: see ``reason``; it is tried again by the next call."""
    score: float | None = None
    """The task's metric on the validation rows."""
    scores: dict[str, float] = {}
    """Every metric of the task."""
    seconds: float = 0.0
    """Spent on the cell, without the stages that were taken over."""
    reason: str = ""
    """Why it failed."""
    folder: str
    """Its run folder, inside the ablation's."""


class Column(_Part):
    """A task."""

    name: str
    """Its name in the file."""
    title: str
    """What it is called."""
    metric: str
    """The metric that ``score`` is."""
    seeds: list[int]
    """Every variant is trained once for each."""


class Row(_Part):
    """A variant."""

    name: str
    """Its name in the file."""
    title: str
    """What it is called."""
    tasks: list[str]
    """The tasks it is tried on."""
    skipped: str = ""
    """Why it is not run; empty where it is."""


class AblationResults(_Part):
    """All cells of an ablation that there are so far."""

    version: Literal[1] = Field(alias="schema", description="The version of this format.")
    name: str
    """The ablation's name."""
    description: str
    """What it asks, in one line."""
    command: str
    """The command that makes it."""
    compare_to: str
    """The variant that differences refer to."""
    tasks: list[Column]
    """The table's columns."""
    variants: list[Row]
    """The table's rows."""
    machine: dict[str, Any]
    """Processor and versions."""
    cells: list[CellResult]
    """In the order in which they are run."""

    def cell(self, variant: str, task: str, seed: int) -> CellResult | None:
        """One cell, if it was come to."""
        wanted = (variant, task, seed)
        return next((c for c in self.cells if (c.variant, c.task, c.seed) == wanted), None)

    def scores(self, variant: str, task: Column) -> dict[int, float]:
        """Scores by seed, of those that are there."""
        found = {seed: self.cell(variant, task.name, seed) for seed in task.seeds}
        return {seed: c.score for seed, c in found.items() if c and c.score is not None}

    def failures(self) -> list[CellResult]:
        """The cells that failed."""
        return [cell for cell in self.cells if cell.status == "failed"]


@dataclass(frozen=True)
class Entry:
    """A variant on a task.

    Args:
        mean: over the seeds that are there; ``None`` where there is none.
        deviation: sample standard deviation over the seeds; ``None`` below two.
        count: seeds that are there.
        wanted: seeds that were asked for; 0 where the variant is not tried on the task.
        failed: cells that failed.
    """

    mean: float | None
    deviation: float | None
    count: int
    wanted: int
    failed: int


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Args:
        row: the variant.
        entries: one for each task, in order.
        average: mean over the tasks of their means; ``None`` unless every task has one.
        difference: mean over the tasks of the mean of :func:`differences`; where nothing is
            missing, that of the averages. ``None`` where there is none.
        compared: tasks that it is over.
    """

    row: Row
    entries: list[Entry]
    average: float | None
    difference: float | None
    compared: int


def lines(results: AblationResults) -> list[Line]:
    """The table's numbers, row by row."""
    found = []
    for row in results.variants:
        entries = [_entry(results, row, task) for task in results.tasks]
        paired = [differences(results, row.name, task) for task in results.tasks]
        means = [statistics.fmean(values) for values in paired if values]
        difference = statistics.fmean(means) if means else None
        found.append(Line(row, entries, _average(entries), difference, len(means)))
    return found


def _entry(results: AblationResults, row: Row, task: Column) -> Entry:
    scores = list(results.scores(row.name, task).values())
    failed = sum(
        cell.status == "failed"
        for cell in results.cells
        if (cell.variant, cell.task) == (row.name, task.name)
    )
    mean, deviation = mean_and_deviation(scores)
    return Entry(
        mean=mean,
        deviation=deviation,
        count=len(scores),
        wanted=len(task.seeds) if task.name in row.tasks and not row.skipped else 0,
        failed=failed,
    )


def _average(entries: Sequence[Entry]) -> float | None:
    means = [entry.mean for entry in entries if entry.mean is not None]
    return statistics.fmean(means) if means and len(means) == len(entries) else None


def differences(results: AblationResults, variant: str, task: Column) -> list[float]:
    """Score minus that of the variant compared to, seed by seed (the pairs share their data)."""
    ours, theirs = results.scores(variant, task), results.scores(results.compare_to, task)
    return [ours[seed] - theirs[seed] for seed in task.seeds if seed in ours and seed in theirs]


def write_ablation(path: Path, results: AblationResults) -> None:
    """Write ``ablation.json``."""
    atomic.write_json(path, results.model_dump(by_alias=True, mode="json"))


def read_ablation(path: Path) -> AblationResults | None:
    """Read ``ablation.json``; ``None`` where there is none.

    Raises:
        RunFolderError: the file is something else.
    """
    if not path.is_file():
        return None
    try:
        return AblationResults.model_validate(json.loads(path.read_text("utf-8")))
    except (ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise RunFolderError(
            f"{path}: not an ablation of this version ({reason}); choose another --run-dir"
        ) from None
