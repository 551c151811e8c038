"""The teacher: loaded, its labels checked, and fine-tuned on the task when the recipe asks."""

from __future__ import annotations

import logging

import torch

from distill.recipe.schema import TeacherModel
from distill.stages.context import StageContext, StageResult
from distill.training.finetune import FinetuneModule
from distill.training.fit import fit
from teachers.freeze import freeze_lower
from teachers.load import load_encoder

logger = logging.getLogger("distill")


def teacher_stage(config: TeacherModel, context: StageContext) -> StageResult:
    """Leave a teacher for the task in the stage's folder.

    Raises:
        ModelError: the teacher cannot be loaded, or its labels are not the data's.
    """
    workspace = context.workspace
    if workspace.learns_text:
        return _encoder(config, context)
    model = context.pretrained(config)
    if config.finetune is None:
        labels = " (its labels are the data's)" if workspace.task.labels else ""
        logger.info("%s: used as it is%s", context.stage.name, labels)
        return context.save_model(model, teacher=config)
    if config.finetune.freeze_layers:
        freeze_lower(model, config.finetune.freeze_layers)
    session = context.session()
    module = FinetuneModule(model, workspace.task, train=config.finetune, seed=session.seed)
    result = fit(
        module,
        workspace.tokenized(workspace.data.train, config),
        validation=workspace.tokenized(workspace.data.validation, config),
        session=session,
    )
    return context.save_model(module.model, result, teacher=config)


def _encoder(config: TeacherModel, context: StageContext) -> StageResult:
    """The teacher of a run over unlabelled text: its encoder, without a head."""
    torch.manual_seed(context.recipe.seed)  # a pooler that the weights lack is drawn
    model = load_encoder(
        config.model, trust_remote_code=config.trust_remote_code, revision=config.revision
    )
    logger.info("teacher: used as it is, without a head")
    return context.save_model(model)
