"""How far a student's outputs are from the teacher's, as the task compares them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from distill.objectives.logits import logits_loss
from distill.objectives.vectors import similarity_loss, vector_loss
from distill.tasks.base import Task
from distill.training.base import Batch
from students.heads import logits_of
from teachers.ragged import TeacherLogits, look_up


def output_loss(task: Task, targets: TeacherLogits) -> Callable[[nn.Module, Batch], Tensor]:
    """The loss by which a student, or a part of one, is judged: the teacher's logits of each row.

    Args:
        task: what of them is compared, and by which loss.
        targets: the teacher's logits, looked up by the batch's ``index``.
    """

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
