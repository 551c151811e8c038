"""The losses of TinyBERT's published code, to the letter, for parity with it.

They differ from the masked losses in what is averaged over: padded queries, padded hidden states
and padded keys (as zeros) are part of every mean, so that a batch's loss depends on how far it was
padded.

Legend: B batch, L length, D hidden, H heads, C classes.

Reference:
    Jiao et al. 2020, TinyBERT: Distilling BERT for Natural Language Understanding, and the code
    published with it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.objectives.base import full, same_shape
from distill.system import distributed

#: Added to the scores of padded keys.
_PENALTY = -10_000.0
#: Scores no greater than this are taken for masked ones and become 0, on either side alone.
_MASKED = -1e2


def reference_attention(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """``MSE(z(A_s + M), z(A_t + M))`` over all B x H x L x L, in fp32.

    ``M = -10000 (1 - m)`` along the keys; ``z`` puts 0 where a value is at most -100. Padded keys
    are so 0 on both sides, and counted; padded queries are compared like real ones.

    Args:
        student: scores before softmax and mask, (B, H, L, L).
        teacher: likewise.
        mask: (B, L), 1 for a real token and 0 for padding.
    """
    added = (1 - mask.to(student.device).float())[:, None, None, :] * _PENALTY  # (B, 1, 1, L)
    ours, theirs = full(student) + added, full(teacher) + added  # (B, H, L, L)
    ours, theirs = (torch.where(x <= _MASKED, 0.0, x) for x in (ours, theirs))
    return distributed.mean((ours - theirs).square())


def reference_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error over all B x L x D, padding included, in fp32.

    Args:
        student: hidden states, already projected, (B, L, D).
        teacher: (B, L, D).

    Raises:
        ModelError: the shapes differ.
    """
    same_shape(student, teacher)
    return distributed.mean((full(student) - full(teacher)).square())


def reference_soft_ce(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """``-mean over B x C of softmax(t/T) log_softmax(s/T)``: 1/C of the usual one, without T^2.

    Args:
        student: logits, (B, C).
        teacher: logits, (B, C).
        temperature: T.
    """
    target = F.softmax(full(teacher) / temperature, dim=-1)  # (B, C)
    return distributed.mean(-target * F.log_softmax(full(student) / temperature, dim=-1))
