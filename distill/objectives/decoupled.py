"""Matching the true class and the other classes apart.

Legend: B batch, C classes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distill.objectives.base import LogitsComparison, full
from distill.objectives.logits import same_classes
from distill.recipe.schema import WeightSchedule
from distill.recipe.schema.objectives import DecoupledObjective
from distill.system import distributed
from distill.system.errors import ModelError


def decoupled_loss(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    """``T^2 (alpha * TCKD + beta * NCKD)``, mean over B, in fp32.

    TCKD is the KL between ``[p_y, 1 - p_y]`` of teacher and student, y the true class; NCKD the KL
    between their distributions over the other classes, each normalised to 1.

    Args:
        student: logits, (B, C).
        teacher: logits, (B, C).
        labels: y, (B,).
        alpha: factor of TCKD.
        beta: factor of NCKD.
        temperature: T.

    Raises:
        ModelError: the shapes differ, or there are fewer than three classes.

    Reference:
        Zhao et al. 2022, Decoupled Knowledge Distillation, equation 7.
    """
    same_classes(student, teacher, "decoupled")
    if student.shape[-1] < 3:
        raise ModelError(
            f"objective 'decoupled': there are {student.shape[-1]} classes; with two the part on "
            "the other classes is always 0: take 'logits'"
        )
    ours, theirs = (_parts(x, labels, temperature) for x in (student, teacher))
    target = _kl(ours[0], theirs[0])  # (B,)
    others = _kl(ours[1], theirs[1])  # (B,)
    return distributed.mean(alpha * target + beta * others) * temperature**2


def _parts(logits: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log probabilities of [true, others together], (B, 2), and among the others, (B, C - 1)."""
    rows, classes = logits.shape
    scaled = full(logits) / temperature
    kept = torch.arange(classes, device=logits.device)[None] != labels[:, None]  # (B, C)
    # Sorting puts the C - 1 others first without asking the device how many there are.
    order = kept.logical_not().to(torch.uint8).argsort(dim=-1, stable=True)[:, :-1]
    others = scaled.gather(1, order).view(rows, classes - 1)  # (B, C - 1)
    true = scaled.gather(1, labels[:, None])  # (B, 1)
    together = torch.logsumexp(others, dim=-1, keepdim=True)  # (B, 1)
    binary = torch.log_softmax(torch.cat([true, together], dim=-1), dim=-1)  # (B, 2)
    return binary, torch.log_softmax(others, dim=-1)


def _kl(student: Tensor, teacher: Tensor) -> Tensor:
    return (teacher.exp() * (teacher - student)).sum(dim=-1)


class DecoupledMatch(LogitsComparison):
    """Decoupled distillation of logits: see `decoupled_loss`.

    Args:
        weight: factor in the sum of objectives.
        alpha: factor of the part on the true class.
        beta: factor of the part on the other classes.
        temperature: T.

    Reference:
        Zhao et al. 2022, Decoupled Knowledge Distillation.
    """

    kind: ClassVar[str] = "decoupled"
    needs: ClassVar[frozenset[str]] = DecoupledObjective.signals

    def __init__(
        self,
        *,
        weight: float | WeightSchedule = 1.0,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
    ) -> None:
        super().__init__(weight=weight)
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature

    @classmethod
    def of(cls, config: DecoupledObjective) -> DecoupledMatch:
        """The objective a recipe asks for."""
        return cls(
            weight=config.weight,
            alpha=config.alpha,
            beta=config.beta,
            temperature=config.temperature,
        )

    def compare(self, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
        """See :class:`LogitsComparison`."""
        if labels is None:
            raise ModelError(
                "objective 'decoupled': the batch has no labels, which it tells the true class by; "
                "give labels or take 'logits'"
            )
        return decoupled_loss(
            student,
            teacher,
            labels,
            alpha=self.alpha,
            beta=self.beta,
            temperature=self.temperature,
        )
