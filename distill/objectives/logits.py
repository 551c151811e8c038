"""Matching what the teacher predicts: its logits, by classes apart, or up to mean and size.

Legend: B batch, C classes. Every loss takes the logits of student and teacher, (B, C) where nothing
else is said, and a temperature T, and is a scalar in fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.capture.signals import ABSENT
from distill.objectives.base import Compared, Mode, Objective, full
from distill.recipe.schema.objectives import (
    DecoupledObjective,
    LogitsObjective,
    StandardizedObjective,
)
from distill.system import distributed
from distill.system.errors import ModelError

#: Of logits (M, K) and true labels (M,), a scalar.
HardLoss = Callable[[Tensor, Tensor], Tensor]
#: Keeps the division from failing where all logits are equal.
_EPSILON = 1e-7


def soft_ce(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Soft cross-entropy: ``-T^2 * mean over B of sum over C of softmax(t/T) log_softmax(s/T)``.

    Without T^2 the gradient would shrink as 1/T^2 when the temperature rises.

    Reference:
        Hinton et al. 2015, section 2; TinyBERT, equation 10 (there without T^2, at T = 1).
    """
    target = F.softmax(full(teacher) / temperature, dim=-1)  # (B, C)
    logs = F.log_softmax(full(student) / temperature, dim=-1)  # (B, C)
    return -distributed.mean((target * logs).sum(dim=-1)) * temperature**2


def reference_soft_ce(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """``-mean over B x C of softmax(t/T) log_softmax(s/T)``: 1/C of the usual one, without T^2."""
    target = F.softmax(full(teacher) / temperature, dim=-1)  # (B, C)
    return distributed.mean(-target * F.log_softmax(full(student) / temperature, dim=-1))


def kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """``T^2 * KL(teacher || student)``, mean over B: ``soft_ce`` less the teacher's entropy.

    Its gradient is that of :func:`soft_ce`; its smallest value is 0.
    """
    target = F.log_softmax(full(teacher) / temperature, dim=-1)  # (B, C)
    logs = F.log_softmax(full(student) / temperature, dim=-1)  # (B, C)
    return distributed.mean((target.exp() * (target - logs)).sum(dim=-1)) * temperature**2


def mse(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean squared error between raw logits; the temperature plays no part.

    The mean is over B x C, without outcomes that a row does not have (:data:`ABSENT`).
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
        student: z_s.
        teacher: z_t.
        loss: ``soft_ce``, ``kl``, ``mse`` or ``margin_mse``.
        temperature: T.
        hard_weight: a, the share of the cross-entropy with the true label.
        labels: y, (B,); needed where ``hard_weight`` is not 0. Numbers instead of classes make the
            hard part their mean squared error.
        hard_loss: stands in the place of CE, such as one that weighs labels or smooths them.

    Raises:
        ModelError: the shapes differ, or labels are needed and not there.
    """
    _same_classes(student, teacher, "logits")
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


def _same_classes(student: Tensor, teacher: Tensor, kind: str) -> None:
    if student.shape != teacher.shape:
        raise ModelError(
            f"objective '{kind}': the student's logits are {tuple(student.shape)} and the "
            f"teacher's {tuple(teacher.shape)}; both need the task's labels"
        )


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
        student: its logits.
        teacher: its logits.
        labels: y, (B,).
        alpha: factor of TCKD.
        beta: factor of NCKD.
        temperature: T.

    Raises:
        ModelError: the shapes differ, or there are fewer than three classes.

    Reference:
        Zhao et al. 2022, Decoupled Knowledge Distillation, equation 7.
    """
    _same_classes(student, teacher, "decoupled")
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

    Raises:
        ModelError: the shapes differ, or there are fewer than three classes.

    Reference:
        Sun et al. 2024, Logit Standardization in Knowledge Distillation, algorithm 1.
    """
    _same_classes(student, teacher, "standardized")
    if student.shape[-1] < 3:
        raise ModelError(
            f"objective 'standardized': there are {student.shape[-1]} classes; two standardised "
            "logits are always 1 and -1, which says nothing but the order: take 'logits'"
        )
    return kl(standardized(student), standardized(teacher), temperature)


class LogitsMatch(Objective[LogitsObjective]):
    """Matches the teacher's logits, and mixes in the true labels where asked: `logits_loss`.

    ``reference`` is the soft cross-entropy alone, without T^2 and over classes too.

    Reference:
        TinyBERT, equation 10.
    """

    def __init__(self, config: LogitsObjective, mode: Mode = "masked") -> None:
        super().__init__(config, mode)
        #: What the true labels are learned by in place of the plain loss; a task's own.
        self.hard_loss: HardLoss | None = None

    def __call__(self, batch: Compared) -> Tensor:
        student, teacher = self.pair(batch, "logits")
        if self.mode == "reference":
            _same_classes(student, teacher, self.kind)
            return reference_soft_ce(student, teacher, self.config.temperature)
        return logits_loss(
            student,
            teacher,
            loss=self.config.loss or "soft_ce",
            temperature=self.config.temperature,
            hard_weight=self.config.hard_weight,
            labels=batch.labels,
            hard_loss=self.hard_loss,
        )


class DecoupledMatch(Objective[DecoupledObjective]):
    """Decoupled distillation of logits: see `decoupled_loss`."""

    def __call__(self, batch: Compared) -> Tensor:
        if batch.labels is None:
            raise ModelError(
                "objective 'decoupled': the batch has no labels, which it tells the true class by; "
                "give labels or take 'logits'"
            )
        return decoupled_loss(
            *self.pair(batch, "logits"),
            batch.labels,
            alpha=self.config.alpha,
            beta=self.config.beta,
            temperature=self.config.temperature,
        )


class StandardizedMatch(Objective[StandardizedObjective]):
    """Matches standardised logits: see `standardized_loss`."""

    def __call__(self, batch: Compared) -> Tensor:
        return standardized_loss(*self.pair(batch, "logits"), self.config.temperature)
