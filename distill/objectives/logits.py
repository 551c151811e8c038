"""Matching what the teacher predicts.

Legend: B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, cast

import torch.nn.functional as F
from torch import Tensor

from distill.capture.signals import ABSENT
from distill.objectives.base import LogitsComparison, Mode, full
from distill.objectives.reference import reference_soft_ce
from distill.recipe.schema import WeightSchedule
from distill.recipe.schema.objectives import LogitsObjective
from distill.system import distributed
from distill.system.errors import ModelError

#: Of logits (M, K) and true labels (M,), a scalar.
HardLoss = Callable[[Tensor, Tensor], Tensor]


def soft_ce(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Soft cross-entropy: ``-T^2 * mean over B of sum over C of softmax(t/T) log_softmax(s/T)``.

    Without T^2 the gradient would shrink as 1/T^2 when the temperature rises.

    Args:
        student: logits, (B, C).
        teacher: logits, (B, C).
        temperature: T.

    Reference:
        Hinton et al. 2015, section 2; TinyBERT, equation 10 (there without T^2, at T = 1).
    """
    target = F.softmax(full(teacher) / temperature, dim=-1)  # (B, C)
    logs = F.log_softmax(full(student) / temperature, dim=-1)  # (B, C)
    return -distributed.mean((target * logs).sum(dim=-1)) * temperature**2


def kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """``T^2 * KL(teacher || student)``, mean over B: ``soft_ce`` less the teacher's entropy.

    Its gradient is that of :func:`soft_ce`; its smallest value is 0.

    Args:
        student: logits, (B, C).
        teacher: logits, (B, C).
        temperature: T.
    """
    target = F.log_softmax(full(teacher) / temperature, dim=-1)  # (B, C)
    logs = F.log_softmax(full(student) / temperature, dim=-1)  # (B, C)
    return distributed.mean((target.exp() * (target - logs)).sum(dim=-1)) * temperature**2


def mse(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean squared error between raw logits; the temperature plays no part.

    The mean is over B x C, without outcomes that a row does not have (:data:`ABSENT`).

    Args:
        student: logits, (B, C).
        teacher: logits, (B, C).
        temperature: taken so that the three losses are called alike.
    """
    del temperature
    there = full(teacher) > ABSENT / 2  # half: bf16 rounds it
    squares = (full(student) - full(teacher)).square() * there  # (B, C)
    return distributed.weighted_mean(squares.sum(), there.sum().to(squares))


def margin_mse(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    r"""Mean squared error between the differences of two candidates' raw logits.

    :math:`((s_i - s_j) - (t_i - t_j))^2`, the mean over all pairs with :math:`y_i > y_j` of the
    batch's queries. What a model adds to all logits of a query plays no part.

    Args:
        student: s, (M, K): K candidates of M queries.
        teacher: t, (M, K).
        labels: relevances y, NaN of candidates that are not there, (M, K).

    Reference:
        Hofstaetter et al. 2020, Improving Efficient Neural Ranking Models with Cross-Architecture
        Knowledge Distillation.
    """
    apart = full(student) - full(teacher)  # (M, K)
    better = labels[:, :, None] > labels[:, None, :]  # (M, K, K)
    squares = (apart[:, :, None] - apart[:, None, :]).square() * better
    return distributed.weighted_mean(squares.sum(), better.sum().to(squares))


LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "soft_ce": soft_ce,
    "kl": kl,
    "mse": mse,
}


def logits_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    loss: Literal["soft_ce", "kl", "mse", "margin_mse"] = "soft_ce",
    temperature: float = 1.0,
    hard_weight: float = 0.0,
    labels: Tensor | None = None,
    hard_loss: HardLoss | None = None,
) -> Tensor:
    """``(1 - a) * loss(z_s, z_t, T) + a * CE(z_s, y)``, a scalar in fp32.

    Args:
        student: z_s, (B, C).
        teacher: z_t, (B, C).
        loss: ``soft_ce``, ``kl``, ``mse`` or ``margin_mse``.
        temperature: T.
        hard_weight: a, the share of the cross-entropy with the true label.
        labels: y, (B,); needed where ``hard_weight`` is not 0. Numbers instead of classes make the
            hard part their mean squared error.
        hard_loss: stands in the place of CE, such as one that weighs labels or smooths them.

    Raises:
        ModelError: the shapes differ, or labels are needed and not there.
    """
    same_classes(student, teacher, "logits")
    if labels is None and (hard_weight or loss == "margin_mse"):
        wants, advice = ("hard_weight is set", "set hard_weight to 0")
        if loss == "margin_mse":
            wants, advice = ("margin_mse needs relevances", "take mse")
        raise ModelError(
            f"objective 'logits': {wants} but the batch has no labels; give labels or {advice}"
        )
    if loss == "margin_mse":
        soft = margin_mse(student, teacher, cast(Tensor, labels))
    else:
        soft = LOSSES[loss](student, teacher, temperature)
    if not hard_weight or labels is None:
        return soft
    if hard_loss is not None:
        hard = hard_loss(full(student), labels)
    elif labels.is_floating_point():
        hard = distributed.mean((full(student).squeeze(-1) - labels).square())
    else:
        hard = distributed.mean(F.cross_entropy(full(student), labels, reduction="none"))
    return (1 - hard_weight) * soft + hard_weight * hard


def same_classes(student: Tensor, teacher: Tensor, kind: str) -> None:
    """Refuse logits of two shapes."""
    if student.shape != teacher.shape:
        raise ModelError(
            f"objective '{kind}': the student's logits are {tuple(student.shape)} and the "
            f"teacher's {tuple(teacher.shape)}; both need the task's labels"
        )


class LogitsMatch(LogitsComparison):
    """Matches the teacher's logits, and mixes in the true labels where asked: `logits_loss`.

    Args:
        weight: factor in the sum of objectives.
        loss: ``soft_ce``, ``kl``, ``mse`` or ``margin_mse``.
        temperature: T.
        hard_weight: a, the share of the cross-entropy with the true label.
        mode: ``masked``, or ``reference`` (``soft_ce`` only, without T^2 and over classes too).

    Attributes:
        hard_loss: what the true labels are learned by in place of the plain loss; a task's own.

    Raises:
        ModelError: the reference has no such loss.

    Reference:
        TinyBERT, equation 10.
    """

    kind: ClassVar[str] = "logits"
    needs: ClassVar[frozenset[str]] = LogitsObjective.signals

    def __init__(
        self,
        *,
        weight: float | WeightSchedule = 1.0,
        loss: Literal["soft_ce", "kl", "mse", "margin_mse"] = "soft_ce",
        temperature: float = 1.0,
        hard_weight: float = 0.0,
        mode: Mode = "masked",
    ) -> None:
        super().__init__(weight=weight)
        if mode == "reference" and (loss != "soft_ce" or hard_weight):
            raise ModelError(
                "objective 'logits': the reference is the soft cross-entropy alone; "
                "leave loss and hard_weight out"
            )
        self.mode = mode
        self.loss = loss
        self.temperature = temperature
        self.hard_weight = hard_weight
        self.hard_loss: HardLoss | None = None

    @classmethod
    def of(cls, config: LogitsObjective, mode: Mode = "masked") -> LogitsMatch:
        """The objective a recipe asks for."""
        return cls(
            weight=config.weight,
            loss=config.loss or "soft_ce",
            temperature=config.temperature,
            hard_weight=config.hard_weight,
            mode=mode,
        )

    def compare(self, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
        """See :class:`LogitsComparison`."""
        if self.mode == "reference":
            same_classes(student, teacher, self.kind)
            return reference_soft_ce(student, teacher, self.temperature)
        return logits_loss(
            student,
            teacher,
            loss=self.loss,
            temperature=self.temperature,
            hard_weight=self.hard_weight,
            labels=labels,
            hard_loss=self.hard_loss,
        )
