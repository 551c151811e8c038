"""Attention probabilities of chosen layers, from the scores that distillation matches.

Legend: H heads, L tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from distill.capture.capture import Capture
from distill.inspection.result import Map
from students.anatomy import anatomy


def heads_of(model: PreTrainedModel, layer: int) -> int:
    """How many heads a layer has; a pruned one may have none."""
    return anatomy(model).heads_left[layer - 1]


@torch.no_grad()
def attention_of(
    model: PreTrainedModel, batch: Mapping[str, Tensor], layers: Iterable[int]
) -> dict[int, Map]:
    """Attention probabilities of one text, which has no padding.

    Args:
        model: a BERT, stock or pruned, in eval mode.
        batch: the text's inputs, each (1, L).
        layers: which layers, counted from 1.

    Returns:
        Layer to (H, L, L), each row with the sum 1; (0, L, L) of a layer without heads.
    """
    wanted = sorted(set(layers))
    with_heads = [layer for layer in wanted if heads_of(model, layer)]
    length = batch["input_ids"].size(1)
    found = dict.fromkeys(wanted, np.zeros((0, length, length), np.float32))
    if with_heads:
        signals = Capture(model, attention=with_heads)(batch)
        for layer, scores in signals.attention.items():
            found[layer] = scores[0].softmax(dim=-1).numpy()  # (H, L, L)
    return found
