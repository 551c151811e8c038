"""The tensors of one forward pass that objectives compare."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

#: Stands in comparable logits for an outcome that a row does not have, such as a token outside the
#: text: its softmax is 0 in every float type, and other losses leave it out.
ABSENT = -1e4


@dataclass
class Signals:
    """What was captured of one batch (B batch, L length, D hidden, H heads, C classes)."""

    embedding: Tensor | None = None  # embedding output after LayerNorm and dropout, (B, L, D)
    # output of each wanted layer, counted from 1, (B, L, D)
    hidden: dict[int, Tensor] = field(default_factory=dict)
    # scores before softmax and mask of each wanted layer, counted from 1, (B, H, L, L), fp32
    attention: dict[int, Tensor] = field(default_factory=dict)
    # of each wanted layer, counted from 1, (B, H, L, d); d is the head width
    queries: dict[int, Tensor] = field(default_factory=dict)
    keys: dict[int, Tensor] = field(default_factory=dict)  # likewise
    values: dict[int, Tensor] = field(default_factory=dict)  # likewise
    logits: Tensor | None = None  # (B, C)
    # logits over the vocabulary at the N masked tokens of the batch, (N, V)
    mlm: Tensor | None = None
