"""Several teachers: the weighted average of their logits.

Legend: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from distill.cache import cache_folder
from distill.data.split import Split
from distill.data.tokenized import TokenizedDataset
from distill.modules.precision import resolve_precision
from distill.recipe.schema import TeacherModel
from distill.stages.context import StageContext
from teachers.cache import cached_logits


def average_logits(
    context: StageContext,
    rows: Callable[[TeacherModel], TokenizedDataset],
    *,
    first: PreTrainedModel | None = None,
) -> npt.NDArray[np.float32]:
    r"""What is learned of the teachers: :math:`\sum_k w_k z_k / \sum_k w_k`, row by row.

    Every teacher reads the rows in its own tokens; its outputs have the order of the data's labels,
    which its stage has seen to. Of a single teacher these are its logits.

    Args:
        context: the stage's context.
        rows: gives the rows in a teacher's tokens.
        first: the first teacher, where it is loaded already.

    Returns:
        (N, C), fp32; logits are kept in the cache.
    """
    workspace = context.workspace
    teachers = workspace.recipe.teacher.all
    total = sum(teacher.weight for teacher in teachers)
    found = np.zeros(1)
    for number, teacher in enumerate(teachers):
        model = first if number == 0 and first is not None else context.load_teacher(number)
        logits = cached_logits(
            model,
            rows(teacher),
            folder=cache_folder() / "logits",
            precision=resolve_precision(context.recipe.trainer),
        )  # (N, C)
        if len(teachers) == 1:
            return logits
        found = found + (teacher.weight / total) * logits.astype(np.float64)
    return found.astype(np.float32)


def ensemble_scores(context: StageContext, split: Split) -> dict[str, float]:
    """The metrics of the teachers' averaged logits."""
    metrics = context.workspace.task.metrics()
    logits = average_logits(context, lambda one: context.workspace.tokenized(split, one))
    metrics.update(torch.from_numpy(np.array(logits)), torch.tensor(split.labels))
    return {name: float(value) for name, value in metrics.compute().items()}
