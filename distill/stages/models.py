"""The rows of the table: every model of a run, scored and weighed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from distill.data.split import Split
from distill.evaluation.cost import bytes_of, macs, parameters, parameters_no_embeddings
from distill.evaluation.error_analysis import of_model
from distill.evaluation.memory import peak_memory_mb
from distill.evaluation.predictors import FilePredictor, FloorPredictor, Predictor, TorchPredictor
from distill.evaluation.results import LINEAR, TEACHERS, ModelRow, is_teacher
from distill.evaluation.score import score, score_and_choose
from distill.export.bundle import MODEL_FILES
from distill.recipe.schema import TeacherModel
from distill.runtime.backends import ENGINES, is_installed
from distill.runtime.manifest import read_manifest
from distill.stages.context import StageContext
from distill.stages.ensemble import ensemble_scores
from distill.tasks.analysis import Analysis
from distill.tasks.base import Task
from distill.tasks.floors import Floor
from teachers.load import load_model

logger = logging.getLogger("distill")


@dataclass(frozen=True)
class Entry:
    """A model of the table: where it came from, how to call it, and what it costs."""

    name: str  # in the table
    stage: str  # the stage that made it
    # gives what predicts for a split's examples: the linear model reads their texts
    on: Callable[[Split], Predictor]
    task: Task  # with what was chosen for the model
    index: int  # the number of the stage whose student reads as it does
    # parameters, those without embeddings, multiply-accumulates at a length, and bytes, as fields
    # of a row
    costs: Callable[[int], Mapping[str, Any]]
    teacher: TeacherModel | None = None  # which teacher it is, if one
    # the torch model that it is, or was exported from; ``None`` of the linear model
    model: PreTrainedModel | None = None
    weights: Path = Path()  # its weight file

    def memory_mb(self, length: int, threads: int) -> float:
        """Peak memory of a process that does nothing but answer with this model."""
        if self.weights.name == "model.safetensors":
            format, path = TorchPredictor.format, self.weights.parent
        else:
            format, path = self.name, self.weights
        return peak_memory_mb(format, path, length=length, threads=threads)


def linear_model(context: StageContext) -> list[Entry]:
    """What the task does without a neural network, fitted on the training examples.

    Nothing of a task that has none, or where the recipe says ``linear: false``.
    """
    workspace = context.workspace
    floor = workspace.task.floor(workspace.data) if context.recipe.linear else None
    if floor is None:
        return []
    on, held = partial(_floor_on, floor, context), workspace.data.validation
    _, chosen = score_and_choose(on(held), workspace.tokenized(held), workspace.task)
    costs = {"parameters": floor.parameters, "parameters_no_embeddings": floor.parameters}
    costs |= {"macs": floor.macs, "bytes": floor.bytes}
    task, index = workspace.task.settled(chosen), context.stage.index - 1
    return [Entry(LINEAR, context.stage.name, on, task, index, lambda _: costs)]


def _floor_on(floor: Floor, context: StageContext, split: Split) -> FloorPredictor:
    workspace = context.workspace
    answer = floor.on(split, workspace.tokenized(split), workspace.tokenizer)
    return FloorPredictor(answer, floor.format)


def models_of_run(context: StageContext, threads: int) -> list[Entry]:
    """The models of the run in the order of its stages, then the exported formats."""
    found = []
    for stage in context.stages:
        folder = context.run.stage(stage) / "model"
        if stage.index < context.stage.index and folder.is_dir():
            model = load_model(folder)
            predictor = TorchPredictor(model, threads, name=stage.name)
            entry = _entry(predictor, model, folder / "model.safetensors")
            teacher = stage.config if isinstance(stage.config, TeacherModel) else None
            task = context.settled_task(stage)
            found.append(entry(stage=stage.name, task=task, index=stage.index, teacher=teacher))
    exported = context.earlier("export")
    if exported is None:
        return found
    task = context.settled_task(context.student_stage())
    for name in _formats(context):
        path = context.run.bundle / MODEL_FILES[name]
        runner = FilePredictor(path, threads, name=name, format=name)
        entry = _entry(runner, model, path)  # the last: what was exported
        found.append(entry(stage=exported.name, task=task, index=exported.index))
    return found


def _entry(predictor: Predictor, model: PreTrainedModel, weights: Path) -> Callable[..., Entry]:
    def costs(length: int) -> dict[str, Any]:
        return {
            "parameters": parameters(model),
            "parameters_no_embeddings": parameters_no_embeddings(model),
            "macs": macs(model, length),
            "bytes": bytes_of(weights),
        }

    return partial(
        Entry, predictor.name, on=lambda _: predictor, costs=costs, model=model, weights=weights
    )


def _formats(context: StageContext) -> list[str]:
    """The bundle's formats that can be run here, last and so as the final the one it loads."""
    manifest = read_manifest(context.run.bundle)
    there = [name for name in MODEL_FILES if name in manifest.formats and name in ENGINES]
    usable = [name for name in there if is_installed(name)]
    for name in sorted(set(there) - set(usable)):
        logger.info("%s: left out, its engine is not installed", name)
    return sorted(usable, key=lambda name: name == manifest.default)


def scored_row(
    entry: Entry, context: StageContext, analysis: Analysis | None, *, length: int
) -> ModelRow:
    """What a model scores, weighs and costs; how fast it is comes later, of all models at once.

    Args:
        entry: the model.
        context: the evaluate stage's.
        analysis: keeps its predictions for the scored examples.
        length: tokens that multiply-accumulates are counted at.
    """
    workspace = context.workspace

    def scores_of(
        predictor: Predictor, split: Split, analysis: Analysis | None = None
    ) -> dict[str, float]:
        rows = context.workspace_of(entry.index).tokenized(split, entry.teacher)
        seen = None if analysis is None else analysis.keeper(entry.name, entry.task, rows)
        return score(predictor, rows, entry.task, seen=seen)

    predictor, more = entry.on(workspace.final_split), workspace.data.more
    scores = scores_of(predictor, workspace.final_split, analysis)
    if entry.model is None:  # vectors that stand for its cosines cannot be cut
        cut = {f"{entry.task.primary}@{width}" for width in entry.task.short_widths}
        scores = {name: value for name, value in scores.items() if name not in cut}
    return ModelRow(
        name=entry.name,
        stage=entry.stage,
        format=predictor.format,
        score=scores[workspace.task.primary],
        scores=scores,
        **of_model(analysis, entry.name),
        more_scores={name: scores_of(entry.on(one), one) for name, one in more.items()},
        **entry.costs(length),
    )


def ensemble_row(models: list[ModelRow], context: StageContext) -> list[ModelRow]:
    """The row of several teachers' average: what it scores, and what all of them cost together."""
    teachers = [one for one in models if is_teacher(one.name)]
    workspace = context.workspace
    if len(teachers) < 2:
        return []
    scores = ensemble_scores(context, workspace.final_split)
    more = workspace.data.more
    names = ("parameters", "parameters_no_embeddings", "macs", "bytes")
    costs: dict[str, Any] = {name: sum(getattr(one, name) for one in teachers) for name in names}
    return [
        ModelRow(
            name=TEACHERS,
            stage=teachers[-1].stage,
            format=TorchPredictor.format,
            score=scores[workspace.task.primary],
            scores=scores,
            more_scores={name: ensemble_scores(context, one) for name, one in more.items()},
            **costs,
        )
    ]
