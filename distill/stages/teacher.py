"""The teacher and the baseline: models that learn from labels alone."""

from __future__ import annotations

import logging

import torch
from transformers import PreTrainedModel

from distill.recipe.schema import BaselineConfig, TeacherModel, TrainConfig
from distill.stages.context import StageContext, StageResult
from distill.training.base import FinetuneModule
from distill.training.fit import fit
from teachers.freeze import freeze_lower
from teachers.load import load_encoder

logger = logging.getLogger("distill")


def teacher_stage(config: TeacherModel, context: StageContext) -> StageResult:
    """Leave a teacher for the task in the stage's folder: loaded, and fine-tuned where asked.

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
        return context.save_model(model, tokenizer=workspace.tokenizer_of(config))
    if config.finetune.freeze_layers:
        freeze_lower(model, config.finetune.freeze_layers)
    return _finetuned(model, config.finetune, context, teacher=config)


def baseline_stage(config: BaselineConfig, context: StageContext) -> StageResult:
    """Train the student's shape on the labels, without a teacher.

    Its weights start from the same layers as the student's, but of the model as it was before it
    was fine-tuned into the teacher: what one would do who has no teacher.
    """
    student = context.initial_student(context.pretrained(context.recipe.source))
    return _finetuned(student, config, context)


def _finetuned(
    model: PreTrainedModel,
    config: TrainConfig,
    context: StageContext,
    teacher: TeacherModel | None = None,
) -> StageResult:
    workspace, session = context.workspace, context.session()
    module = FinetuneModule(model, workspace.task, train=config, seed=session.seed)
    data = workspace.data
    result = fit(
        module,
        workspace.tokenized(data.train, teacher),
        validation=workspace.tokenized(data.validation, teacher),
        session=session,
    )
    tokenizer = workspace.tokenizer_of(teacher)
    return context.save_model(module.model, result, tokenizer=tokenizer)


def _encoder(config: TeacherModel, context: StageContext) -> StageResult:
    """The teacher of a run over unlabelled text: its encoder, without a head."""
    torch.manual_seed(context.recipe.seed)  # a pooler that the weights lack is drawn
    model = load_encoder(
        config.model, trust_remote_code=config.trust_remote_code, revision=config.revision
    )
    logger.info("teacher: used as it is, without a head")
    return context.save_model(model)
