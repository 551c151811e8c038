"""Distillation, where the student learns the teacher's signals, and pre-training on text alone.

Legend: N original rows, A augmented ones, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.data.augmentation.generate import ROWS, AugmentedSplit
from distill.data.text.masking import MaskedSequences, Masking
from distill.data.tokenized import TokenExamples, TokenizedDataset, tokenize
from distill.objectives.logits import logits_loss
from distill.objectives.vectors import similarity_loss, vector_loss
from distill.recipe.schema import DistillStage, PretrainStage, TeacherModel, TrainConfig
from distill.stages.context import StageContext, StageResult
from distill.stages.ensemble import average_logits
from distill.stages.search import search_layer_map
from distill.tasks.base import Task
from distill.training.base import Batch
from distill.training.data import Rows
from distill.training.distill import DistillModule
from distill.training.fit import FitResult, fit
from distill.training.pretrain import PretrainModule
from students.family import MODEL_TYPES
from students.heads import logits_of
from teachers.cache import RaggedLogits, TeacherLogits, look_up


def training_examples(
    context: StageContext, *, augmented: bool, teacher: TeacherModel | None = None
) -> TokenExamples:
    """The training examples in a teacher's tokens or ours, with an augment stage's if asked."""
    workspace = context.workspace
    stage = context.earlier("augment")
    if stage is None or not augmented:
        return workspace.tokenized(workspace.data.train, teacher)
    more = AugmentedSplit(workspace.data.train, context.run.stage(stage) / ROWS)
    tokenizer = workspace.tokenizer_of(teacher)
    return tokenize(more, tokenizer, max_length=context.recipe.data.max_length)


def teacher_logits(
    context: StageContext, teacher: PreTrainedModel | None = None, *, augmented: bool = False
) -> TeacherLogits:
    """The logits to learn on the training examples: the teacher's, or several teachers' average.

    Args:
        context: the stage's.
        teacher: the first teacher, where it is loaded already.
        augmented: whether on the rows of an augment stage too.
    """
    workspace = context.workspace
    if (given := workspace.given(workspace.data.train)) is not None:
        return given
    return average_logits(
        context,
        lambda one: training_examples(context, augmented=augmented, teacher=one),
        first=teacher,
    )


def output_loss(task: Task, targets: TeacherLogits) -> Callable[[nn.Module, Batch], Tensor]:
    """The loss by which a student, or a part of one, is judged, against targets by ``index``."""

    def loss_of(model: nn.Module, batch: Batch) -> Tensor:
        logits = logits_of(model, batch)
        teacher = look_up(targets, batch).to(logits.device)
        if task.objective == "similarity":
            return similarity_loss(logits, teacher)
        if task.objective == "vector":
            return vector_loss(logits, teacher)
        return logits_loss(
            task.comparable(logits, batch),
            task.comparable(teacher, batch),
            loss=task.logits_loss,
        )

    return loss_of


def distil_logits(
    context: StageContext,
    student: PreTrainedModel,
    config: TrainConfig,
    *,
    part: Path = Path(),
    augmented: bool = True,
) -> tuple[PreTrainedModel, FitResult]:
    """Train a student on the teacher's cached logits alone (recovery after pruning).

    Args:
        context: data and teacher.
        student: who learns.
        config: how.
        part: a folder inside the stage's, for one of several trainings.
        augmented: whether on the rows of an augment stage too.
    """
    workspace, session = context.workspace, context.session(part)
    rows = training_examples(context, augmented=augmented)
    module = DistillModule(
        None,
        student,
        objectives=[workspace.task.objective],
        train=config,
        task=workspace.task,
        teacher_logits=teacher_logits(context, augmented=augmented),
        seed=session.seed,
    )
    result = fit(
        module,
        rows,
        validation=workspace.tokenized(workspace.data.validation),
        session=session,
    )
    return module.model, result


def _rows(
    context: StageContext, config: DistillStage, teacher: PreTrainedModel | None
) -> tuple[Rows, TeacherLogits]:
    """What a stage learns from, and a teacher's logits on it.

    An augmented row gets the label that the teacher would decide: a replaced word may have turned
    it round, and nobody has looked.
    """
    workspace = context.workspace
    rows = training_examples(context, augmented=config.augmented)
    logits = teacher_logits(context, teacher, augmented=config.augmented)  # (N + A, C)
    originals = len(workspace.tokenized(workspace.data.train))  # N
    # Examples of other kinds are never augmented.
    if not isinstance(rows, TokenizedDataset) or isinstance(logits, RaggedLogits):
        return rows, logits
    if len(rows) == originals:
        return rows, logits
    labels, new = rows.labels.copy(), torch.from_numpy(np.array(logits[originals:]))
    labels[originals:] = workspace.task.decide(new).numpy()
    return rows.relabelled(labels), logits


def _masked_text(
    context: StageContext, *, share: float = 0.15, whole_words: bool = False, nsp: bool = False
) -> tuple[MaskedSequences, MaskedSequences]:
    """The text to learn from and the held-out text, masked by the stage's seed.

    What is hidden is a function of (seed, epoch, row); held-out text is asked the same each time.
    """
    workspace, seed = context.workspace, context.session().seed
    masking = Masking(workspace.tokenizer, share=share, whole_words=whole_words)
    text = workspace.text(pair=nsp)
    return (
        MaskedSequences(text.train, masking, seed=seed, nsp=nsp),
        MaskedSequences(text.validation, masking, seed=seed, nsp=nsp),
    )


def pretrain_stage(config: PretrainStage, context: StageContext) -> StageResult:
    """Leave an encoder with its heads; the losses on held-out text say what it learned."""
    session = context.session()
    train, validation = _masked_text(
        context, share=config.mask, whole_words=config.whole_words, nsp=config.nsp
    )
    module = PretrainModule(
        context.student_to_pretrain(nsp=config.nsp),
        train=config,
        nsp=config.nsp,
        seed=session.seed,
    )
    result = fit(module, train, validation=validation, session=session)
    return context.save_model(module.model, result, whole_words=config.whole_words, nsp=config.nsp)


def distill_stage(config: DistillStage, context: StageContext) -> StageResult:
    """Match the objectives' signals; choose by validation score once logits are among them.

    Without a logits objective the student's head is not trained, so the last weights are kept.
    On unlabelled text the losses on held-out text are measured, and the last weights kept too.
    With an ``mlm`` objective the student has a masked-language head, and both read masked text.
    """
    workspace, session = context.workspace, context.session()
    facts: dict[str, Any] = {}
    if config.layer_map == "search":
        pairs, facts["layer_map_search"] = search_layer_map(
            config, context, logits=teacher_logits(context)
        )
        config = config.model_copy(update={"layer_map": pairs, "search": None})
    learned = frozenset(signal for one in config.objectives for signal in one.signals)
    masked, learns_logits = "mlm" in learned, "logits" in learned
    teacher = None if context.recipe.teacher.targets else context.load_teacher()
    student = context.student_to_pretrain(nsp=False) if masked else context.load_student()
    rows: Rows
    validation: Rows | None
    logits = None
    if masked:  # student and teacher read the same
        rows, validation = _masked_text(context)
    elif workspace.learns_text:
        rows, validation = workspace.train_examples, workspace.validation_examples
    elif learns_logits:
        (rows, logits), validation = _rows(context, config, teacher), workspace.validation_examples
    else:
        rows, validation = training_examples(context, augmented=config.augmented), None
    family = None if teacher is None else teacher.config.model_type
    by_logits = learned == {"logits"} and family not in MODEL_TYPES
    module = DistillModule(
        # A teacher that reads other tokens, or whose parts are not known, gives its cached logits.
        teacher if workspace.reads_as_teacher and not by_logits else None,
        student,
        objectives=config.objectives,
        mode=config.mode,
        layer_map=config.layer_map,
        projection=config.projection,
        train=config,
        task=None if workspace.learns_text else workspace.task,
        teacher_logits=logits,
        seed=session.seed,
    )
    result = fit(module, rows, validation=validation, session=session)
    return context.save_model(
        module.model,
        result,
        layer_map=[list(pair) for pair in module.layer_map.pairs],
        student_layers=student.config.num_hidden_layers,
        teacher_layers=getattr(getattr(teacher, "config", None), "num_hidden_layers", None),
        objectives=[objective.kind for objective in config.objectives],
        **facts,
    )
