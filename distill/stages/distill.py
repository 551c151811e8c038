"""Distillation: the student learns the teacher's signals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from distill.cache import cache_folder
from distill.modules.distill import DistillModule
from distill.modules.fit import FitResult, fit
from distill.modules.precision import resolve_precision
from distill.objectives import make_objectives
from distill.recipe.schema import DistillStage, LogitsObjective, TrainConfig
from distill.stages.context import StageContext, StageResult
from distill.stages.search import search_layer_map
from teachers.cache import cached_logits


def teacher_logits(context: StageContext, teacher: PreTrainedModel) -> np.ndarray:
    """The teacher's logits on the training rows, from the cache where they stand there."""
    workspace = context.workspace
    return cached_logits(
        teacher,
        workspace.tokenized(workspace.data.train),
        folder=cache_folder() / "logits",
        precision=resolve_precision(context.recipe.trainer),
    )


def distil_logits(
    context: StageContext, student: PreTrainedModel, config: TrainConfig, *, part: Path = Path()
) -> tuple[PreTrainedModel, FitResult]:
    """Train a student on the teacher's cached logits alone (recovery after pruning).

    Args:
        context: data and teacher.
        student: who learns.
        config: how.
        part: a folder inside the stage's, for one of several trainings.
    """
    workspace, session = context.workspace, context.session(part)
    module = DistillModule(
        None,
        student,
        objectives=make_objectives([LogitsObjective(kind="logits")]),
        train=config,
        task=workspace.task,
        teacher_logits=teacher_logits(context, context.load_teacher()),
        seed=session.seed,
    )
    result = fit(
        module,
        workspace.tokenized(workspace.data.train),
        validation=workspace.tokenized(workspace.data.validation),
        session=session,
    )
    return module.model, result


def distill_stage(config: DistillStage, context: StageContext) -> StageResult:
    """Match the objectives' signals; choose by validation score once logits are among them.

    Without a logits objective the student's head is not trained, so the last weights are kept.
    On unlabelled text the losses on held-out text are measured, and the last weights kept too.
    """
    workspace, session = context.workspace, context.session()
    found = None
    if config.layer_map == "search":
        found = search_layer_map(
            config, context, logits=teacher_logits(context, context.load_teacher())
        )
        config = config.model_copy(update={"layer_map": found.chosen, "search": None})
    teacher, student = context.load_teacher(), context.load_student()
    learns_logits = any("logits" in objective.signals for objective in config.objectives)
    module = DistillModule(
        teacher,
        student,
        objectives=make_objectives(config.objectives, mode=config.mode),
        mode=config.mode,
        layer_map=config.layer_map,
        projection=config.projection,
        train=config,
        task=None if workspace.learns_text else workspace.task,
        teacher_logits=teacher_logits(context, teacher) if learns_logits else None,
        seed=session.seed,
    )
    result = fit(
        module,
        workspace.train_rows,
        validation=workspace.validation_rows if learns_logits or workspace.learns_text else None,
        session=session,
    )
    return context.save_model(
        module.model,
        result,
        layer_map=[list(pair) for pair in module.layer_map.pairs],
        student_layers=student.config.num_hidden_layers,
        teacher_layers=teacher.config.num_hidden_layers,
        objectives=[objective.kind for objective in config.objectives],
        **({"layer_map_search": found.facts()} if found else {}),
    )
