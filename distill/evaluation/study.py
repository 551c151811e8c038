"""``study.json``: every trial of a study, and the numbers of its tables.

The format is described in ``docs/results.md``. Importing this module loads neither torch nor numpy.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from distill.evaluation.limits import target_words
from distill.evaluation.over_seeds import ModelTable, mean_and_deviation
from distill.evaluation.parts import Part
from distill.recipe.run_models import STUDY
from distill.recipe.schema import Limits
from distill.system import atomic
from distill.system.errors import RunFolderError


class TrialResult(Part):
    """What came of one variant on one task with one seed."""

    variant: str
    """The row."""
    task: str
    """The column."""
    seed: int
    """The recipe's seed."""
    key: str
    """Hash of the recipe and of the files it names: a trial with another one is done again."""
    status: Literal["done", "failed", "stopped"]
    """``failed``: see ``reason``; it is tried again by the next call. ``stopped``: a search found
    that it is not worth finishing."""
    evaluated: bool
    """Whether it ends in the evaluation, which scores, weighs and times every model."""
    score: float | None = None
    """The task's metric on ``split``, of the last model."""
    scores: dict[str, float] = Field(default_factory=dict)
    """Every metric of the task."""
    split: str = "validation"
    """The examples that were scored."""
    validation: float | None = None
    """The same model's score on the validation examples."""
    seconds: float = 0.0
    """Spent on the trial, without the stages that were taken over."""
    reason: str = ""
    """Why it failed."""
    folder: str
    """Its run folder, inside the study's."""


class Column(Part):
    """A task."""

    name: str
    """Its name in the file; empty where it is the recipe's own."""
    title: str
    """What it is called."""
    metric: str
    """The metric that ``score`` is."""
    seeds: list[int]
    """Every variant is trained once for each."""
    examples_by_seed: bool = False
    """Whether each seed draws its own examples to be scored on: the spread holds that too."""


class Row(Part):
    """A variant."""

    name: str
    """Its name in the file; empty where it is the recipe as it is."""
    title: str
    """What it is called."""
    tasks: list[str]
    """The tasks it is tried on."""
    skipped: str = ""
    """Why it is not run; empty where it is."""
    searched: bool = False
    """Whether a search made it."""
    within: bool | None = None
    """Whether its final model keeps the search's limits; ``None`` where that is not known."""
    predicted: Limits | None = None
    """What an untrained model of its sizes took and weighed, of a search by halving."""
    low: float | None = None
    """Where the 95 % interval of its difference begins, by the paired bootstrap over examples: to
    the variant compared to, or to a search's best; ``None`` where that is not known."""
    high: float | None = None
    """Where it ends; an interval that holds 0 is within the noise of the examples."""


class Chosen(Part):
    """The run that predictions come from, of a study of one variant on one task, or a search."""

    variant: str = ""
    """Its variant, of a search: the best on the validation examples within the limits."""
    seed: int
    """Its seed: the one whose final model is best on validation examples; of equals the first."""
    seeds: int
    """How many it was chosen from."""
    folder: str
    """Its run folder, inside the study's."""
    metric: str
    """The metric that ``validation`` is."""
    validation: float | None
    """Its final model's score on the validation examples, where it is known."""


class Target(Part):
    """Limits that a search by halving has a model for, and that model."""

    limits: Limits
    """What it must keep."""
    measured: Limits | None = None
    """What the evaluation measured of it; ``None`` where no model keeps it."""
    chosen: Chosen | None = None
    """The best on the validation examples that keeps it."""

    def words(self) -> str:
        """``target 1.00 ms, measured 0.97 ms``."""
        return target_words(self.limits, self.measured)


class StudyResults(Part):
    """Everything known of a study's trials."""

    version: Literal[1] = Field(alias="schema", description="The version of this format.")
    name: str
    """The study's name."""
    description: str
    """What it asks, in one line."""
    command: str
    """The command that runs it, without where its folders lie."""
    compare_to: str
    """The variant that differences refer to."""
    tasks: list[Column]
    """The table's columns."""
    variants: list[Row]
    """The table's rows."""
    machine: dict[str, Any]
    """Processor and versions."""
    trials: list[TrialResult] = Field(default_factory=list)
    """In the order in which they are run."""
    limits: Limits | None = None
    """What the final model of a search must keep."""
    targets: list[Target] = Field(default_factory=list)
    """Of a search by halving: for each of its limits the model that keeps them."""
    models: list[ModelTable] = Field(default_factory=list)
    """For each variant and task whose trials were evaluated, all models over the seeds."""
    chosen: Chosen | None = None
    """The run that predictions come from."""

    def scores(self, variant: str, task: Column) -> dict[int, float]:
        """Scores by seed, of those that are there."""
        found = {
            trial.seed: trial.score
            for trial in self.trials
            if (trial.variant, trial.task) == (variant, task.name) and trial.score is not None
        }
        return {seed: found[seed] for seed in task.seeds if seed in found}

    @property
    def searched(self) -> bool:
        """Whether a search made any of the variants."""
        return any(row.searched for row in self.variants)

    def measured(self) -> list[TrialResult]:
        """The trials that were evaluated."""
        return [trial for trial in self.trials if trial.evaluated and trial.status == "done"]

    def failures(self) -> list[TrialResult]:
        """The trials that failed."""
        return [trial for trial in self.trials if trial.status == "failed"]


@dataclass(frozen=True)
class Entry:
    """A variant on a task."""

    mean: float | None  # over the seeds that are there; ``None`` where there is none
    deviation: float | None  # sample standard deviation over the seeds; ``None`` below two
    count: int  # seeds that are there
    wanted: int  # seeds that were asked for; 0 where the variant is not tried on the task
    failed: int  # trials that failed


@dataclass(frozen=True)
class Line:
    """A row of the table."""

    row: Row
    entries: list[Entry]  # one for each task, in order
    average: float | None  # mean over the tasks of their means; ``None`` unless every task has one
    #: mean over the tasks of the mean of :func:`differences`; where nothing is missing, that of
    #: the averages
    difference: float | None
    compared: int  # tasks that it is over


def lines(results: StudyResults) -> list[Line]:
    """The table's numbers, row by row."""
    found = []
    for row in results.variants:
        entries = [_entry(results, row, task) for task in results.tasks]
        paired = [differences(results, row.name, task) for task in results.tasks]
        means = [statistics.fmean(values) for values in paired if values]
        difference = statistics.fmean(means) if means else None
        own = [entry.mean for entry in entries if entry.mean is not None]
        average = statistics.fmean(own) if own and len(own) == len(entries) else None
        found.append(Line(row, entries, average, difference, len(means)))
    return found


def _entry(results: StudyResults, row: Row, task: Column) -> Entry:
    scores = list(results.scores(row.name, task).values())
    here = [t for t in results.failures() if (t.variant, t.task) == (row.name, task.name)]
    mean, deviation = mean_and_deviation(scores)
    wanted = len(task.seeds) if task.name in row.tasks and not row.skipped else 0
    return Entry(mean, deviation, len(scores), wanted, len(here))


def differences(results: StudyResults, variant: str, task: Column) -> list[float]:
    """Score minus that of the variant compared to, seed by seed (the pairs share their data)."""
    ours, theirs = results.scores(variant, task), results.scores(results.compare_to, task)
    return [ours[seed] - theirs[seed] for seed in task.seeds if seed in ours and seed in theirs]


def write_study(folder: Path, results: StudyResults) -> None:
    """Write a study's ``study.json`` whole or not at all."""
    atomic.write_json(folder / STUDY, results.model_dump(by_alias=True, mode="json"))


def read_study(folder: Path) -> StudyResults | None:
    """Read a study's ``study.json``; ``None`` without one, a RunFolderError for another file."""
    path = folder / STUDY
    if not path.is_file():
        return None
    try:
        return StudyResults.model_validate(json.loads(path.read_text("utf-8")))
    except (ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise RunFolderError(
            f"{path}: not a study of this version ({reason}); choose another --run-dir"
        ) from None
