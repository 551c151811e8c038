"""The teacher: loaded, its labels checked, and fine-tuned on the task when the recipe asks."""

from __future__ import annotations

import logging

import torch
from transformers import PreTrainedModel

from distill.recipe.schema import TeacherModel
from distill.stages.context import StageContext, StageResult
from distill.training.finetune import FinetuneModule
from distill.training.fit import fit
from teachers.freeze import freeze_lower
from teachers.load import load_encoder, load_sentence_encoder, load_teacher
from teachers.resolve import resolve_model

logger = logging.getLogger("distill")


def pretrained(context: StageContext, teacher: TeacherModel | None = None) -> PreTrainedModel:
    """The model that a teacher of the recipe is made from, with a head for the data's labels.

    Args:
        context: the stage's context.
        teacher: which one; left out, the first.

    Raises:
        ModelError: it cannot be loaded, or a fine-tuned one's labels are not the data's.
    """
    config = context.recipe.teacher if teacher is None else teacher
    # The new head's weights are drawn here, so that they depend on the recipe's seed alone.
    torch.manual_seed(context.recipe.seed)
    task = context.workspace.task
    if context.recipe.task.gives_vectors:
        return load_sentence_encoder(
            config.model,
            pooling=task.settings["pooling"],
            trust_remote_code=config.trust_remote_code,
            revision=config.revision,
        )
    return load_teacher(
        resolve_model(config.model, revision=config.revision),
        labels=task.labels,
        finetuned=config.finetune is None,
        trust_remote_code=config.trust_remote_code,
        revision=config.revision,
        given_labels=config.labels,
        head=task.head,
        problem_type=task.problem_type,
    )


def teacher_stage(config: TeacherModel, context: StageContext) -> StageResult:
    """Leave a teacher for the task in the stage's folder.

    Raises:
        ModelError: the teacher cannot be loaded, or its labels are not the data's.
    """
    workspace = context.workspace
    if workspace.learns_text:
        return _encoder(config, context)
    model = pretrained(context, config)
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
