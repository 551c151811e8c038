"""Distributions over keys, and how far two of them are apart.

Legend: B batch, L length, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distill.objectives.base import full
from distill.system import distributed


def log_probabilities(scores: Tensor, mask: Tensor) -> Tensor:
    """``log softmax`` over the real keys, in fp32; 0 in probability at padded keys.

    Args:
        scores: (B, H, L, L), queries by keys.
        mask: (B, L), 1 for a real token and 0 for padding.

    Returns:
        (B, H, L, L).
    """
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
