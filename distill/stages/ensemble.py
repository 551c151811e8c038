"""Several teachers: the weighted average of their logits.

Legend: N rows, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from distill.data.batches import make_loader
from distill.data.split import Split
from distill.data.tokenized import TokenExamples
from distill.evaluation.results import TEACHER
from distill.recipe.schema import TeacherModel
from distill.stages.context import StageContext
from distill.tasks.analysis import Analysis
from distill.tasks.base import Task
from distill.training.devices import resolve_precision
from teachers.cache import RaggedLogits, TeacherLogits, cached_logits, look_up

logger = logging.getLogger("distill")


def average_logits(
    context: StageContext,
    rows: Callable[[TeacherModel | None], TokenExamples],
    *,
    first: PreTrainedModel | None = None,
) -> TeacherLogits:
    r"""What is learned of the teachers: :math:`\sum_k w_k z_k / \sum_k w_k`, row by row.

    Every teacher reads the rows in its own tokens; its outputs have the order of the data's labels,
    which its stage has seen to. What it says of tokens is carried to the student's
    (:meth:`Task.carried`). Of a single teacher these are its logits.

    Args:
        context: the stage's context.
        rows: gives the rows in a teacher's tokens, or without one in the student's.
        first: the first teacher, where it is loaded already.

    Returns:
        (N, C), fp32, or ragged; each teacher's logits are kept in the cache.
    """
    workspace = context.workspace
    teachers = workspace.recipe.teacher.all
    total = sum(teacher.weight for teacher in teachers)
    found: npt.NDArray[np.float64] = np.zeros(1)
    logits: TeacherLogits = np.zeros((0, 0), dtype=np.float32)
    for number, teacher in enumerate(teachers):
        model = first if number == 0 and first is not None else context.load_teacher(number)
        theirs = rows(teacher)
        logits = cached_logits(model, theirs, precision=resolve_precision(context.recipe.trainer))
        if isinstance(logits, RaggedLogits) and (ours := rows(None)) is not theirs:
            logits = RaggedLogits(workspace.task.carried(logits.flat, theirs, ours), ours.lengths)
        if len(teachers) == 1:
            return logits
        flat = logits.flat if isinstance(logits, RaggedLogits) else logits
        found = found + (teacher.weight / total) * flat.astype(np.float64)
    average = found.astype(np.float32)
    return RaggedLogits(average, logits.lengths) if isinstance(logits, RaggedLogits) else average


def ensemble_scores(
    context: StageContext, split: Split, analysis: Analysis | None = None
) -> dict[str, float]:
    """The metrics of the teachers' averaged logits, or of those that a file gives.

    ``analysis`` keeps the predictions, as those of the teacher.
    """
    task = _settled(context)
    metrics = task.metrics()
    rows = context.workspace.tokenized(split)
    keep = None if analysis is None else analysis.keeper(TEACHER, task, rows)
    for logits, batch in _averaged(context, split):
        task.observe(metrics, logits, batch)
        if keep is not None:
            keep(logits.numpy(), batch)
    return {name: float(value) for name, value in metrics.compute().items()}


def _averaged(context: StageContext, split: Split) -> Iterator[tuple[Tensor, Mapping[str, Any]]]:
    workspace = context.workspace
    logits: TeacherLogits | None = workspace.given(split)
    if logits is None:
        logits = average_logits(context, lambda one: workspace.tokenized(split, one))
    for batch in make_loader(workspace.tokenized(split), 256, seed=0, shuffle=False):
        yield look_up(logits, batch), batch


def _settled(context: StageContext) -> Task:
    """The task with what it leaves to each model, chosen by the average on validation examples."""
    workspace = context.workspace
    given = workspace.recipe.teacher.targets is not None
    if not workspace.task.chooses:
        return workspace.task
    if given and workspace.data.validation.given is None:
        logger.warning(
            "teacher: teacher.targets has nothing for the validation examples, by which every "
            "other model's settings are chosen; its score is with the usual ones %s",
            workspace.task.settings,
        )
        return workspace.task.settled(workspace.task.settings)
    pairs = list(_averaged(context, workspace.data.validation))
    logits = torch.cat([logits for logits, _ in pairs])
    labels = torch.cat([batch["labels"] for _, batch in pairs])
    return workspace.task.settled(workspace.task.chosen(logits, labels))
