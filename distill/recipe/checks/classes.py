"""Objectives that do not fit what a task predicts."""

from __future__ import annotations

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import (
    DistillStage,
    LogitsObjective,
    MultiLabelTask,
    NerTask,
    Objective,
    QuestionTask,
    Recipe,
    RegressionTask,
    Task,
)

_OF_TWO = {
    "decoupled": "its part on the other classes is then always 0",
    "standardized": "two standardised logits are always 1 and -1",
}
_LOGITS = "take logits"


def classes(recipe: Recipe) -> Findings:
    """Objectives that say nothing of two classes, or of a number."""
    for index, stage in enumerate(recipe.stages):
        if not isinstance(stage, DistillStage):
            continue
        for number, objective in enumerate(stage.objectives):
            fault = _class_fault(recipe.task, objective)
            if fault is not None:
                yield ("stages", index, "objectives", number, fault[0]), f"{fault[1]}; {fault[2]}"


def _class_fault(task: Task, objective: Objective) -> tuple[str, str, str] | None:
    """The key at fault, why, and what to do."""
    if isinstance(task, RegressionTask):
        if objective.kind in _OF_TWO:
            return "kind", f"{objective.kind} compares classes, and a number has none", _LOGITS
        if isinstance(objective, LogitsObjective) and objective.loss not in (None, "mse"):
            said = f"{objective.loss} compares classes, and a number has none"
            return "loss", said, "leave it out or take mse"
        return None
    if isinstance(task, QuestionTask):
        if objective.kind == "standardized":
            said = "standardized compares the same classes in every row, and texts differ in length"
            return "kind", said, _LOGITS
        return None
    if isinstance(task, NerTask):
        return None  # there are three tags at least
    labels = task.labels
    if objective.kind not in _OF_TWO or (
        not isinstance(task, MultiLabelTask) and (labels is None or len(labels) > 2)
    ):
        return None
    count = "two for each label" if isinstance(task, MultiLabelTask) else str(len(labels or ()))
    said = f"{objective.kind} needs three classes or more, and the task has {count}"
    return "kind", f"{said}: {_OF_TWO[objective.kind]}", _LOGITS
