"""Matching logits up to their mean and size.

Legend: B batch, C classes.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distill.objectives.base import LogitsComparison, full
from distill.objectives.logits import kl, same_classes
from distill.recipe.schema import WeightSchedule
from distill.recipe.schema.objectives import StandardizedObjective
from distill.system.errors import ModelError

#: Keeps the division from failing where all logits are equal.
_EPSILON = 1e-7


def standardized(logits: Tensor) -> Tensor:
    """``(z - mean(z)) / (std(z) + 1e-7)`` of each row, in fp32; the std is over all C.

    Args:
        logits: (B, C).
    """
    centred = full(logits) - full(logits).mean(dim=-1, keepdim=True)  # (B, C)
    # Not `std`, whose gradient is not a number where all logits are equal.
    variance = centred.square().mean(dim=-1, keepdim=True)  # (B, 1)
    return centred / (variance + _EPSILON**2).sqrt()


def standardized_loss(student: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    """``T^2 * KL(softmax(Z(t)/T) || softmax(Z(s)/T))``, Z of :func:`standardized`, mean over B.

    The student need not have logits of the teacher's size, only in its order and proportion.

    Args:
        student: logits, (B, C).
        teacher: logits, (B, C).
        temperature: T.

    Raises:
        ModelError: the shapes differ, or there are fewer than three classes.

    Reference:
        Sun et al. 2024, Logit Standardization in Knowledge Distillation, algorithm 1.
    """
    same_classes(student, teacher, "standardized")
    if student.shape[-1] < 3:
        raise ModelError(
            f"objective 'standardized': there are {student.shape[-1]} classes; two standardised "
            "logits are always 1 and -1, which says nothing but the order: take 'logits'"
        )
    return kl(standardized(student), standardized(teacher), temperature)


class StandardizedMatch(LogitsComparison):
    """Matches standardised logits: see `standardized_loss`.

    Args:
        weight: factor in the sum of objectives.
        temperature: T.

    Reference:
        Sun et al. 2024, Logit Standardization in Knowledge Distillation.
    """

    kind: ClassVar[str] = "standardized"
    needs: ClassVar[frozenset[str]] = StandardizedObjective.signals

    def __init__(self, *, weight: float | WeightSchedule = 1.0, temperature: float = 2.0) -> None:
        super().__init__(weight=weight)
        self.temperature = temperature

    @classmethod
    def of(cls, config: StandardizedObjective) -> StandardizedMatch:
        """The objective a recipe asks for."""
        return cls(weight=config.weight, temperature=config.temperature)

    def compare(self, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
        """See :class:`LogitsComparison`."""
        del labels
        return standardized_loss(student, teacher, self.temperature)
