"""How long a recipe's trainings take on this machine: some real steps of each, times their number.

The recipe's stages are done in a temporary folder, every training cut to a few steps on a part of
the rows. The curves' clock gives seconds a step, after the first ones, and seconds a validation.
"""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from distill.data.batches import make_sampler
from distill.pipeline.runner import go_on, prepare
from distill.recipe.plan import PlannedStage, plan_stages
from distill.recipe.schema import (
    AugmentStage,
    DistillStage,
    PretrainStage,
    PruneStage,
    Recipe,
    TeacherModel,
    TrackConfig,
    TrainConfig,
)
from distill.run_folder import RunFolder
from distill.system.errors import UserError
from distill.tasks import task_class
from distill.training.callbacks import LOG_STEPS
from distill.training.data import Rows, total_steps, total_validations

#: Steps that are timed, and as many before them that are not: the first ones are slow.
MEASURED_STEPS = LOG_STEPS
_STEPS = 2 * LOG_STEPS


@dataclass(frozen=True)
class StageTime:
    """What one stage's training takes."""

    steps: int  # optimiser steps of the whole training
    step_seconds: float  # seconds of one, the mean over :data:`MEASURED_STEPS`
    validations: int  # how often the model is scored on the way
    validation_seconds: float  # seconds of one

    @property
    def seconds(self) -> float:
        """The whole training."""
        return self.steps * self.step_seconds + self.validations * self.validation_seconds


def measure(recipe: Recipe) -> tuple[int, dict[str, StageTime]]:
    """Time some steps of every training stage, quantisation-aware training aside.

    Recovery after pruning is timed on the student before pruning. With an augment stage as many
    examples are counted as it can make. Of several seeds the first one's trainings are timed.

    Returns:
        The number of training examples as they are batched (windows, packed rows), and the times by
        the stages' names.

    Raises:
        UserError: the recipe trains nothing, or a stage's training came to nothing.
    """
    recipe = recipe.with_seed(recipe.seeds[0]) if recipe.seeds else recipe
    stages = [stage for stage in plan_stages(recipe) if trainings(stage)]
    if not stages:
        raise UserError(f"{recipe.name}: no stage trains weights, so there is nothing to measure")
    rows = prepare(recipe).train_examples
    times = {}
    with tempfile.TemporaryDirectory(prefix="distill-plan-") as temporary:
        folder = RunFolder(Path(temporary) / "run")
        go_on(_short(recipe), folder.path, until=stages[-1].name)
        for stage in stages:
            step, validation = _read_times(folder.metrics, stage.name)
            steps = validations = 0
            for config in trainings(stage):
                batches = _copies(recipe, stage) * batches_of(recipe, rows, config)
                steps += total_steps(config, batches)
                validations += total_validations(config, batches)
            times[stage.name] = StageTime(steps, step, validations if validation else 0, validation)
    return len(rows), times


def batches_of(recipe: Recipe, rows: Rows, config: TrainConfig) -> int:
    """How many batches an epoch of a training has."""
    world = recipe.trainer.processes
    return len(make_sampler(rows, config.batch_size, seed=recipe.seed, world=world))


def trainings(stage: PlannedStage) -> list[TrainConfig]:
    """The trainings of a stage that are measured: most have one, rounds of pruning one each."""
    match stage.config:
        case TeacherModel(finetune=config):
            return [config] if config else []
        case PruneStage(recovery=config):
            if config is None:
                return []
            between = config.model_copy(update={"epochs": 1})
            return [between] * (stage.config.rounds - 1) + [config]
        case TrainConfig():
            return [stage.config]
    return []


def with_steps(config: TrainConfig, steps: dict[str, Any]) -> TrainConfig:
    """A training of other steps; a layer map that would be searched is the uniform one."""
    if getattr(config, "layer_map", None) == "search":
        steps = steps | {"layer_map": "uniform", "search": None}
    return config.model_copy(update=steps)


def _short(recipe: Recipe) -> Recipe:
    """The recipe with every training cut short, and without what trains nothing."""
    cut = {"max_steps": _STEPS, "val_check_interval": 1.0, "patience": None}
    learned = "logits" if recipe.task.learns_text else task_class(recipe.task.kind).objective
    kept: list[TrainConfig] = []
    for stage in recipe.stages:
        if isinstance(stage, PruneStage) and (config := stage.recovery) is not None:
            settings = {name: getattr(config, name) for name in TrainConfig.model_fields} | cut
            same = {"kind": "distill", "name": stage.name, "objectives": [{"kind": learned}]}
            kept.append(DistillStage.model_validate(same | settings))
        elif isinstance(stage, DistillStage | PretrainStage):
            kept.append(with_steps(stage, cut))
    teachers = [
        teacher.model_copy(update={"finetune": teacher.finetune.model_copy(update=cut)})
        if teacher.finetune
        else teacher
        for teacher in recipe.teacher.all
    ]
    first = {"finetune": teachers[0].finetune, "more": teachers[1:]} if teachers else {}
    baseline = next((s.config for s in plan_stages(recipe) if s.kind == "baseline"), None)
    trained = [config for stage in plan_stages(recipe) for config in trainings(stage)]
    rows = _STEPS * max(c.batch_size * c.accumulate_grad_batches for c in trained)
    limit = min(rows, recipe.data.limit_train or rows)
    return recipe.model_copy(
        update={
            "track": TrackConfig(),
            "teacher": recipe.teacher.model_copy(update=first),
            "baseline": baseline.model_copy(update=cut) if baseline else False,
            "stages": kept,
            "data": recipe.data.model_copy(update={"limit_train": limit}),
        }
    )


def _copies(recipe: Recipe, stage: PlannedStage) -> int:
    """How many times the training examples a stage learns from, at most: augmenting adds some."""
    match stage.config:
        case DistillStage(augmented=True) | PruneStage(learns_augmented=True):
            before = recipe.stages[: recipe.stages.index(stage.config)]
            made = [one.copies for one in before if isinstance(one, AugmentStage)]
            return 1 + made[-1] if made else 1
    return 1


def _read_times(metrics: Path, stage: str) -> tuple[float, float]:
    """Seconds of a step and of a validation, from the clock of a stage's curve."""
    with metrics.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == stage]
    at = {int(r["step"]): float(r["seconds"]) for r in rows if r["metric"] == "loss"}
    scored = [
        float(r["seconds"])
        for r in rows
        if r["metric"].startswith("validation/") and int(r["step"]) == _STEPS
    ]
    if not {LOG_STEPS, _STEPS} <= at.keys():
        raise UserError(f"{stage}: its training ended before step {_STEPS}; nothing is measured")
    step = (at[_STEPS] - at[LOG_STEPS]) / MEASURED_STEPS
    return step, max(0.0, fmean(scored) - at[_STEPS]) if scored else 0.0
