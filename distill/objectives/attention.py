"""Matching attention, before or after the softmax.

Legend: B batch, L length, H heads.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.capture.signals import Signals
from distill.objectives.base import Mode, Objective, Project, full, wanted
from distill.objectives.distributions import log_probabilities, row_kl
from distill.objectives.reference import reference_attention
from distill.recipe.schema import WeightSchedule
from distill.recipe.schema.objectives import AttentionObjective
from distill.system import distributed
from distill.system.errors import ModelError


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

    Args:
        student: scores before softmax and mask, (B, H, L, L).
        teacher: likewise, (B, H, L, L).
        mask: (B, L), 1 for a real token and 0 for padding.
        loss: which distance.

    Raises:
        ModelError: the numbers of heads differ.

    Reference:
        MiniLM (Wang et al. 2020), equation 1, for ``kl``.
    """
    _same_heads(student, teacher)
    ours, theirs = log_probabilities(student, mask), log_probabilities(teacher, mask)
    if loss == "mse":
        return attention_loss(ours.exp(), theirs.exp(), mask)
    return row_kl(ours, theirs, mask)


def _same_heads(student: Tensor, teacher: Tensor) -> None:
    if student.shape[1] != teacher.shape[1]:
        raise ModelError(
            f"objective 'attention': the student has {student.shape[1]} heads in a layer and the "
            f"teacher {teacher.shape[1]}; their maps match one to one only with "
            f"{teacher.shape[1]} student heads: choose a width that {teacher.shape[1]} divides, "
            "or take 'relations', which match any number of heads"
        )


class AttentionMatch(Objective):
    """A distance of attention, summed over the mapped layers.

    ``L = sum over (i, j) of MSE(A_s[i], A_t[j])`` with ``A = Q K^T / sqrt(d)`` before the softmax,
    over pairs of real tokens; or a distance of ``softmax(A)``.

    Args:
        weight: factor in the sum of objectives.
        on: ``scores`` or ``probabilities``.
        loss: of probabilities, ``kl`` (the default) or ``mse``.
        mode: ``masked``, or ``reference`` (scores only).

    Raises:
        ModelError: the settings do not go together.

    Reference:
        TinyBERT, equation 7 (scores rather than probabilities: section 3.1).
    """

    kind: ClassVar[str] = "attention"
    needs: ClassVar[frozenset[str]] = AttentionObjective.signals

    def __init__(
        self,
        *,
        weight: float | WeightSchedule = 1.0,
        on: Literal["scores", "probabilities"] = "scores",
        loss: Literal["mse", "kl"] | None = None,
        mode: Mode = "masked",
    ) -> None:
        super().__init__(weight=weight)
        if on == "scores" and loss == "kl":
            raise ModelError("objective 'attention': kl compares probabilities, not scores")
        if on == "probabilities" and mode == "reference":
            raise ModelError("objective 'attention': the reference compares scores")
        self.on = on
        self.loss: Literal["mse", "kl"] = loss or ("mse" if on == "scores" else "kl")
        self.mode = mode

    @classmethod
    def of(cls, config: AttentionObjective, mode: Mode = "masked") -> AttentionMatch:
        """The objective a recipe asks for."""
        return cls(weight=config.weight, on=config.on, loss=config.loss, mode=mode)

    @property
    def mapped(self) -> bool:
        """Always."""
        return True

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
            self._distance(
                wanted(student.attention.get(ours), self.kind, "student"),
                wanted(teacher.attention.get(theirs), self.kind, "teacher"),
                mask,
            )
            for ours, theirs in layer_map.pairs
        ]
        return torch.stack(losses).sum()

    def _distance(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        if self.on == "probabilities":
            return probabilities_loss(student, teacher, mask, loss=self.loss)
        if self.mode == "reference":
            _same_heads(student, teacher)
            return reference_attention(student, teacher, mask)
        return attention_loss(student, teacher, mask)
