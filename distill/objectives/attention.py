"""Matching attention, before or after the softmax.

Legend: B batch, L length, H heads. Every loss takes the scores of student and teacher before
softmax and mask, (B, H, L, L), queries by keys, and a mask (B, L), 1 for a real token and 0 for
padding; it is a scalar in fp32, or a ModelError where the numbers of heads differ.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from distill.objectives.base import Compared, Objective, full
from distill.recipe.schema.objectives import AttentionObjective
from distill.system import distributed
from distill.system.errors import ModelError

#: What TinyBERT's code adds to the scores of padded keys.
_PENALTY = -10_000.0
#: Scores no greater than this it takes for masked ones, which become 0, on either side alone.
_MASKED = -1e2


def attention_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of scores over valid query x key pairs and heads, in fp32.

    ``sum(m_q m_k (s - t)^2) / (H * sum(m_q m_k))``: neither padded keys nor padded queries count,
    so that adding padding changes nothing.
    """
    _same_heads(student, teacher)
    difference = full(student) - full(teacher)  # (B, H, L, L)
    valid = mask.to(difference)  # (B, L)
    pairs = valid[:, None, :, None] * valid[:, None, None, :]  # (B, 1, L, L)
    return distributed.weighted_mean(
        (difference * pairs).square().sum(), student.shape[1] * pairs.sum()
    )


def probabilities_loss(
    student: Tensor, teacher: Tensor, mask: Tensor, *, loss: Literal["kl", "mse"] = "kl"
) -> Tensor:
    """A distance of attention probabilities, ``P = softmax(A + mask)``, in fp32.

    ``kl``: ``KL(P_t || P_s)`` over the keys, mean over real queries and heads. ``mse``: squared
    error, mean over pairs of real tokens and heads.

    Reference:
        MiniLM (Wang et al. 2020), equation 1, for ``kl``.
    """
    _same_heads(student, teacher)
    ours, theirs = log_probabilities(student, mask), log_probabilities(teacher, mask)
    if loss == "mse":
        return attention_loss(ours.exp(), theirs.exp(), mask)
    return row_kl(ours, theirs, mask)


def reference_attention(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """``MSE(z(A_s + M), z(A_t + M))`` over all B x H x L x L, in fp32.

    ``M = -10000 (1 - m)`` along the keys; ``z`` puts 0 where a value is at most -100. Padded keys
    are so 0 on both sides, and counted; padded queries are compared like real ones.
    """
    _same_heads(student, teacher)
    added = (1 - mask.to(student.device).float())[:, None, None, :] * _PENALTY  # (B, 1, 1, L)
    ours, theirs = full(student) + added, full(teacher) + added  # (B, H, L, L)
    ours, theirs = (torch.where(x <= _MASKED, 0.0, x) for x in (ours, theirs))
    return distributed.mean((ours - theirs).square())


def _same_heads(student: Tensor, teacher: Tensor) -> None:
    if student.shape[1] != teacher.shape[1]:
        raise ModelError(
            f"objective 'attention': the student has {student.shape[1]} heads in a layer and the "
            f"teacher {teacher.shape[1]}; their maps match one to one only with "
            f"{teacher.shape[1]} student heads: choose a width that {teacher.shape[1]} divides, "
            "or take 'relations', which match any number of heads"
        )


def log_probabilities(scores: Tensor, mask: Tensor) -> Tensor:
    """``log softmax`` over the real keys, in fp32; 0 in probability at padded keys."""
    padded = ~mask.to(scores.device).bool()[:, None, None, :]  # (B, 1, 1, L)
    lowest = torch.finfo(torch.float32).min
    return torch.log_softmax(full(scores).masked_fill(padded, lowest), dim=-1)


def row_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """``KL(P_t || P_s)`` over the keys, mean over real queries and heads, in fp32.

    Args:
        student: log probabilities of :func:`log_probabilities`, (B, H, L, L).
        teacher: likewise.
        mask: (B, L).
    """
    padded = ~mask.to(student.device).bool()[:, None, None, :]  # (B, 1, 1, L)
    gap = (teacher - student).masked_fill(padded, 0.0)  # (B, H, L, L)
    rows = (teacher.exp() * gap).sum(dim=-1)  # (B, H, L)
    valid = mask.to(rows)[:, None, :]  # (B, 1, L)
    return distributed.weighted_mean((rows * valid).sum(), student.shape[1] * valid.sum())


class AttentionMatch(Objective[AttentionObjective]):
    """A distance of attention, summed over the mapped layers.

    ``L = sum over (i, j) of MSE(A_s[i], A_t[j])`` with ``A = Q K^T / sqrt(d)`` before the softmax,
    over pairs of real tokens; or a distance of ``softmax(A)``.

    Reference:
        TinyBERT, equation 7 (scores rather than probabilities: section 3.1).
    """

    def __call__(self, batch: Compared) -> Tensor:
        losses = [self._distance(*pair, batch.mask) for pair in self.pairs(batch, "attention")]
        return torch.stack(losses).sum()

    def _distance(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        if self.config.on == "probabilities":
            return probabilities_loss(student, teacher, mask, loss=self.config.loss or "kl")
        if self.mode == "reference":
            return reference_attention(student, teacher, mask)
        return attention_loss(student, teacher, mask)
