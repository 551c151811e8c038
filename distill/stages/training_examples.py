"""What a student learns from: the training examples, and behind them those that augmentation made.

Legend: N original rows, A augmented ones, C classes.
"""

from __future__ import annotations

import numpy as np
import torch

from distill.data.augmentation.generate import ROWS, AugmentedSplit
from distill.data.tokenized import TokenExamples, TokenizedDataset, tokenize
from distill.recipe.schema import TeacherModel
from distill.stages.context import StageContext
from distill.tasks.base import Task
from teachers.ragged import RaggedLogits, TeacherLogits


def training_examples(
    context: StageContext, *, augmented: bool, teacher: TeacherModel | None = None
) -> TokenExamples:
    """The training examples, with those of the augment stage before this one where asked.

    Args:
        context: the stage's.
        augmented: whether augmented examples are wanted; where no stage made any there are none.
        teacher: whose tokens they are; left out, the student's.
    """
    workspace = context.workspace
    stage = context.earlier("augment")
    if stage is None or not augmented:
        return workspace.tokenized(workspace.data.train, teacher)
    more = AugmentedSplit(workspace.data.train, context.run.stage(stage) / ROWS)
    tokenizer = workspace.tokenizer_of(teacher) if teacher else workspace.tokenizer
    return tokenize(more, tokenizer, max_length=context.recipe.data.max_length)


def with_teacher_labels(
    rows: TokenExamples, logits: TeacherLogits, task: Task, *, originals: int
) -> TokenExamples:
    """Rows whose augmented part is labelled by the teacher: what it would decide.

    A replaced word may have turned the label round, and nobody has looked.

    Args:
        rows: N + A rows.
        logits: the teacher's, (N + A, C).
        task: how labels are made of logits.
        originals: N; these keep their labels.
    """
    # Examples of other kinds are never augmented.
    if not isinstance(rows, TokenizedDataset) or isinstance(logits, RaggedLogits):
        return rows
    if len(rows) == originals:
        return rows
    labels = rows.labels.copy()
    labels[originals:] = task.decide(torch.from_numpy(np.array(logits[originals:]))).numpy()
    return rows.relabelled(labels)
