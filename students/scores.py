"""Attention scores of models that compute attention by themselves, as they compute them.

Legend: B batch, L length, H heads, d head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


def _position_bias(_module: Any, query: Tensor, key: Tensor, call: Mapping[str, Any]) -> Tensor:
    """``q k^T / sqrt(d)`` and a learned bias for each distance."""
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
    bias = call.get("position_bias")  # (B, H, L, L)
    return scores if bias is None else scores + bias


def _disentangled(module: Any, query: Tensor, key: Tensor, call: Mapping[str, Any]) -> Tensor:
    """``q k^T`` and the products of content with position, over the root of d times their number.

    Reference: He et al. 2021, DeBERTa, equation 4.
    """
    kinds = 1 + sum(kind in module.pos_att_type for kind in ("c2p", "p2c"))
    flat_query, flat_key = query.flatten(0, 1), key.flatten(0, 1)  # (B*H, L, d)
    scores = flat_query @ flat_key.transpose(1, 2) / math.sqrt(query.shape[-1] * kinds)
    if module.relative_attention:
        scores = scores + module.disentangled_attention_bias(
            flat_query, flat_key, call.get("relative_pos"), call.get("rel_embeddings"), kinds
        )
    return scores.view(*query.shape[:2], *scores.shape[1:])


#: From the attention module, its queries and keys (B, H, L, d) and what it was called with to its
#: scores before softmax and mask, (B, H, L, L).
SCORES: dict[str, Callable[[Any, Tensor, Tensor, Mapping[str, Any]], Tensor]] = {
    "position_bias": _position_bias,
    "disentangled": _disentangled,
}
