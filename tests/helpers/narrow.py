"""A model that computes as if it had some of its hidden dimensions alone, without being cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from distill.pruning.width import Width
from students.anatomy import anatomy
from students.heads import last_linear


@contextmanager
def narrow_forward(model: PreTrainedModel, kept: Width) -> Iterator[PreTrainedModel]:
    """While the block lasts, LayerNorms look at the kept dimensions, and give 0 in the others."""
    parts = anatomy(model)
    norms: list[Any] = [n for one in parts.parts for n in (one.out_norm, one.down_norm)]
    with ExitStack() as stack:
        if parts.projection is None:
            norms.append(parts.embeddings.LayerNorm)
        else:
            hook = parts.projection.register_forward_hook(lambda _, __, out: out * kept.hidden)
            stack.callback(hook.remove)
        for norm in norms:
            stack.callback(norm.register_forward_hook(_normalised_over(kept.hidden)).remove)
        if (pooled := kept.pooled) is not None:
            pooler = getattr(model.base_model, "pooler", None)
            if pooler is not None:
                hook = pooler.register_forward_hook(lambda _, __, out: out * pooled)
            else:
                hook = last_linear(model).register_forward_pre_hook(
                    lambda _, inputs: (inputs[0] * pooled,)
                )
            stack.callback(hook.remove)
        yield model


def _normalised_over(keep: Tensor) -> Any:
    def hook(norm: nn.LayerNorm, inputs: tuple[Tensor], _: Tensor) -> Tensor:
        index = keep.nonzero().flatten()
        narrow = F.layer_norm(
            inputs[0][..., index], (len(index),), norm.weight[index], norm.bias[index], norm.eps
        )
        return torch.zeros_like(inputs[0]).index_copy(-1, index, narrow)  # (B, L, D)

    return hook
