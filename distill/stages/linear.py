"""The first row of the table: what the task scores without a neural network."""

from __future__ import annotations

from distill.data.split import Split
from distill.evaluation.error_analysis import of_model
from distill.evaluation.predictors import FloorPredictor
from distill.evaluation.results import LINEAR, ModelRow
from distill.evaluation.score import Seen, score, score_and_choose
from distill.stages.context import StageContext
from distill.tasks.analysis import Analysis
from distill.tasks.base import Task
from distill.tasks.floors import Floor


def linear_model(
    context: StageContext, analysis: Analysis | None
) -> tuple[FloorPredictor, ModelRow] | tuple[None, None]:
    """Fit the floor on the training examples and score it as every model is scored.

    Args:
        context: the evaluate stage's.
        analysis: keeps its predictions for the scored examples; may be ``None``.

    Returns:
        The model, and all that is told of it but how fast it is; nothing of a task without one, or
        where the recipe says ``linear: false``.
    """
    workspace = context.workspace
    data, split = workspace.data, workspace.final_split
    floor = workspace.task.floor(data) if context.recipe.linear else None
    if floor is None:
        return None, None
    held = workspace.tokenized(data.validation)
    _, chosen = score_and_choose(_on(floor, data.validation, context), held, workspace.task)
    task = workspace.task.settled(chosen)
    seen = None if analysis is None else analysis.keeper(LINEAR, task, workspace.tokenized(split))
    scores = _scores(floor, split, task, context, seen)
    facts = ModelRow(
        name=LINEAR,
        stage=context.stage.name,
        format=floor.format,
        score=scores[task.primary],
        scores=scores,
        **of_model(analysis, LINEAR),
        more_scores={
            name: _scores(floor, one, task, context, None) for name, one in data.more.items()
        },
        parameters=floor.parameters,
        parameters_no_embeddings=floor.parameters,
        macs=floor.macs,
        bytes=floor.bytes,
    )
    return _on(floor, split, context), facts


def _on(floor: Floor, split: Split, context: StageContext) -> FloorPredictor:
    workspace = context.workspace
    answer = floor.on(split, workspace.tokenized(split), workspace.tokenizer)
    return FloorPredictor(answer, floor.format)


def _scores(
    floor: Floor, split: Split, task: Task, context: StageContext, seen: Seen | None
) -> dict[str, float]:
    predictor, rows = _on(floor, split, context), context.workspace.tokenized(split)
    return score(predictor, rows, task, seen=seen)
