"""The tensors of one forward pass that objectives compare."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

#: Stands in comparable logits for an outcome that a row does not have, such as a token outside the
#: text: its softmax is 0 in every float type, and other losses leave it out.
ABSENT = -1e4


@dataclass
class Signals:
    """What was captured of one batch (B batch, L length, D hidden, H heads, C classes).

    Args:
        embedding: embedding output after LayerNorm and dropout, (B, L, D).
        hidden: output of each wanted layer, counted from 1, (B, L, D).
        attention: scores before softmax and mask of each wanted layer, counted from 1,
            (B, H, L, L), fp32.
        queries: of each wanted layer, counted from 1, (B, H, L, d); d is the head width.
        keys: likewise.
        values: likewise.
        logits: (B, C).
        mlm: logits over the vocabulary at the N masked tokens of the batch, (N, V).
    """

    embedding: Tensor | None = None
    hidden: dict[int, Tensor] = field(default_factory=dict)
    attention: dict[int, Tensor] = field(default_factory=dict)
    queries: dict[int, Tensor] = field(default_factory=dict)
    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None
    mlm: Tensor | None = None
