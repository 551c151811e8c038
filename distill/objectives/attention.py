"""Matching attention scores before the softmax.

Legend: B batch, L length, H heads.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distill import ranks
from distill.errors import ModelError
from distill.matching.layer_map import LayerMap
from distill.matching.signals import Signals
from distill.objectives.base import Objective, Project, wanted
from distill.recipe.schema import AttentionObjective


def attention_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of scores over valid query x key pairs and heads, in fp32.

    ``sum(m_q m_k (s - t)^2) / (H * sum(m_q m_k))``: neither padded keys nor padded queries count,
    so that adding padding changes nothing.

    Args:
        student: scores before softmax and mask, (B, H, L, L).
        teacher: likewise, (B, H, L, L).
        mask: (B, L), 1 for a real token and 0 for padding.

    Raises:
        ModelError: the numbers of heads differ.
    """
    if student.shape[1] != teacher.shape[1]:
        raise ModelError(
            f"objective 'attention': the student has {student.shape[1]} heads in a layer and the "
            f"teacher {teacher.shape[1]}; their maps match one to one only with "
            f"{teacher.shape[1]} student heads: choose a width that {teacher.shape[1]} divides, "
            "or leave the attention objective out"
        )
    valid = mask.to(student.device).float()  # (B, L)
    pairs = valid[:, None, :, None] * valid[:, None, None, :]  # (B, 1, L, L)
    difference = (student.float() - teacher.float()) * pairs  # (B, H, L, L)
    return ranks.weighted_mean(difference.square().sum(), student.shape[1] * pairs.sum())


class AttentionMatch(Objective):
    """Mean squared error between attention scores, summed over the mapped layers.

    ``L = sum over (i, j) of MSE(A_s[i], A_t[j])`` with ``A = Q K^T / sqrt(d)`` before the softmax,
    over pairs of real tokens.

    Reference:
        TinyBERT, equation 7 (scores rather than probabilities: section 3.1).
    """

    kind: ClassVar[str] = "attention"
    needs: ClassVar[frozenset[str]] = frozenset({"attention"})

    @classmethod
    def of(cls, config: AttentionObjective) -> AttentionMatch:
        """The objective a recipe asks for."""
        return cls(weight=config.weight)

    def __call__(
        self,
        student: Signals,
        teacher: Signals,
        *,
        mask: Tensor,
        layer_map: LayerMap,
        project: Project | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """See :class:`Objective`."""
        del project, labels
        losses = [
            attention_loss(
                wanted(student.attention.get(ours), self.kind, "student"),
                wanted(teacher.attention.get(theirs), self.kind, "teacher"),
                mask,
            )
            for ours, theirs in layer_map.pairs
        ]
        return torch.stack(losses).sum()
