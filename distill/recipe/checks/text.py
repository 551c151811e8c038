"""Faults of recipes that learn from unlabelled text, where nothing is predicted or scored."""

from __future__ import annotations

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import BaselineConfig, DistillStage, PretrainStage, Recipe, TextTask

#: Kinds of stages that need no labels.
STAGES = ("pretrain", "distill")


def is_text(recipe: Recipe) -> bool:
    """Whether a recipe learns from unlabelled text."""
    return isinstance(recipe.task, TextTask)


def text_recipe(recipe: Recipe) -> Findings:
    """What a recipe over unlabelled text has no use for, and what only such a recipe can have."""
    if not is_text(recipe):
        for index, stage in enumerate(recipe.stages):
            if stage.kind == "pretrain":
                yield ("stages", index, "kind"), "'pretrain' is for task.kind: text"
        for key in ("train", "validation"):
            if isinstance(getattr(recipe.data, key), list):
                yield ("data", key), "a list of files is for task.kind: text; name one file"
        return
    if recipe.data.test is not None:
        yield ("data", "test"), "unlabelled text has no score to test; leave it out"
    if recipe.data.columns.text_pair is not None:
        yield ("data", "columns", "text_pair"), "unlabelled text has one column; leave it out"
    if isinstance(recipe.baseline, BaselineConfig):
        yield ("baseline",), "it is trained on labels, of which text has none; leave it out"
    if recipe.teacher.finetune is not None:
        yield ("teacher", "finetune"), "fine-tuning needs labels; leave it out"
    if recipe.teacher.labels is not None:
        yield ("teacher", "labels"), "unlabelled text has none; leave it out"
    yield from _stages(recipe)


def _stages(recipe: Recipe) -> Findings:
    for index, stage in enumerate(recipe.stages):
        if stage.kind not in STAGES:
            yield (
                ("stages", index, "kind"),
                f"'{stage.kind}' needs a task with labels; a text recipe ends with its student, "
                "which a task's recipe starts from: student.init: RUN_FOLDER",
            )
        if isinstance(stage, DistillStage | PretrainStage) and stage.patience is not None:
            yield (
                ("stages", index, "patience"),
                "text has no score to stop by; leave it out, or give `steps`",
            )
        if not isinstance(stage, DistillStage):
            continue
        for place, objective in enumerate(stage.objectives):
            if "logits" in objective.signals:
                yield (
                    ("stages", index, "objectives", place),
                    "an encoder without a head gives no logits; match embedding, attention or "
                    "hidden",
                )
        if stage.layer_map == "search":
            yield (
                ("stages", index, "layer_map"),
                "maps are searched by a score, which text has not; name one, or give pairs",
            )
