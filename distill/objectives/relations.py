"""Matching how queries relate to queries, keys to keys and values to values.

Legend: B batch, L length, H heads, d head width, A relation heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.objectives.attention import log_probabilities, row_kl
from distill.objectives.base import Compared, Objective, full
from distill.recipe.schema.objectives import RelationsObjective
from distill.system.errors import ModelError

#: More relation heads than this do not help (MiniLMv2, table 5: 48 of a BERT-base).
MOST_HEADS = 48


def relation_heads(student: int, teacher: int) -> int:
    """The most relation heads, up to 48, that divide both widths.

    Args:
        student: width of the student's queries, all heads together.
        teacher: likewise.

    Example:
        >>> relation_heads(312, 768), relation_heads(384, 768)
        (24, 48)
    """
    common = math.gcd(student, teacher)
    return max(heads for heads in range(1, min(common, MOST_HEADS) + 1) if common % heads == 0)


def relations(vectors: Tensor, mask: Tensor, heads: int) -> Tensor:
    """``log softmax(X_a X_a^T / sqrt(d_r))`` over real tokens, in fp32.

    The heads are put side by side and cut anew into ``heads`` relation heads, so that models with
    other heads and widths give relations of one shape.

    Args:
        vectors: queries, keys or values, (B, H, L, d).
        mask: (B, L), 1 for a real token and 0 for padding.
        heads: A; it divides H x d.

    Returns:
        (B, A, L, L).
    """
    batch, _, length, _ = vectors.shape
    cut = full(vectors).transpose(1, 2).reshape(batch, length, heads, -1)  # (B, L, A, d_r)
    cut = cut.transpose(1, 2)  # (B, A, L, d_r)
    with torch.autocast(vectors.device.type, enabled=False):
        scores = (cut / math.sqrt(cut.shape[-1])) @ cut.transpose(2, 3)  # (B, A, L, L)
    return log_probabilities(scores, mask)


def relation_loss(
    student: Tensor, teacher: Tensor, mask: Tensor, *, heads: int | None = None
) -> Tensor:
    """``KL(R_t || R_s)`` of one kind of relation, mean over real tokens and relation heads.

    Args:
        student: queries, keys or values, (B, H', L, d').
        teacher: of the same kind, (B, H, L, d).
        mask: (B, L).
        heads: A; left out, :func:`relation_heads`.

    Raises:
        ModelError: A does not divide both widths.

    Reference:
        MiniLMv2 (Wang et al. 2021), equations 2 to 4.
    """
    widths = [x.shape[1] * x.shape[3] for x in (student, teacher)]
    heads = heads or relation_heads(*widths)
    if any(width % heads for width in widths):
        raise ModelError(
            f"objective 'relations': relation_heads ({heads}) does not divide both widths, "
            f"{widths[0]} of the student and {widths[1]} of the teacher; "
            f"{relation_heads(*widths)} does"
        )
    return row_kl(relations(student, mask, heads), relations(teacher, mask, heads), mask)


class RelationsMatch(Objective[RelationsObjective]):
    """Self-attention relations of one pair of layers: queries, keys and values, added up.

    ``L = sum over X in {Q, K, V} of KL(R_t(X) || R_s(X))``,
    ``R(X) = softmax(X_a X_a^T / sqrt(d_r))`` for each relation head a. Student and teacher may
    differ in width and in heads; nothing is projected.

    Reference:
        Wang et al. 2021, MiniLMv2: Multi-Head Self-Attention Relation Distillation.
    """

    def layers(self, layer_map: LayerMap, *, student: int, teacher: int) -> LayerMap:
        """The stated pair, or the last one of the map."""
        stated = self.config.layer
        return LayerMap(((stated[0], stated[1]),) if stated else layer_map.pairs[-1:])

    def __call__(self, batch: Compared) -> Tensor:
        losses = [
            relation_loss(*pair, batch.mask, heads=self.config.relation_heads)
            for pair in self.pairs(batch, "queries", "keys", "values")
        ]
        return torch.stack(losses).sum()
