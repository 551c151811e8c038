"""AdamW without decay where it hurts, and the learning rate layer by layer and step by step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from distill.recipe.schema import TrainConfig
from students.anatomy import anatomy


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    r"""AdamW (fused) over a module's trainable parameters.

    Biases and LayerNorm weights, which have one dimension, are not decayed. With a ``layer_decay``
    :math:`d < 1` the learning rate falls from the head to the embeddings: of N layers the n-th from
    below has :math:`lr \cdot d^{N + 1 - n}`, the embeddings :math:`lr \cdot d^{N + 1}`, and what
    stands on the encoder (pooler, head, projections) :math:`lr`.

    Args:
        module: whose parameters; frozen ones are left out. Layers are those of its ``model``, or
            of the module itself.
        config: learning rate, weight decay and layer decay.

    Raises:
        ModelError: there is a layer decay, and the model is of no family whose layers are known.

    Reference:
        Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization. Howard and Ruder 2018,
        ULMFiT, section 3.2 (discriminative fine-tuning); Clark et al. 2020, ELECTRA, appendix B.
    """
    groups = []
    for factor, trained in _by_rate(module, config.layer_decay):
        rate = {} if factor == 1.0 else {"lr": config.lr * factor}
        groups += [
            {
                "params": [p for p in trained if p.ndim > 1],
                "weight_decay": config.weight_decay,
                **rate,
            },
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0, **rate},
        ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.999), eps=1e-8, fused=True)


def _by_rate(module: nn.Module, decay: float) -> list[tuple[float, list[nn.Parameter]]]:
    """Trainable parameters by their share of the learning rate, the full one first."""
    trained = [p for p in module.parameters() if p.requires_grad]
    if decay == 1.0:
        return [(1.0, trained)]
    parts = anatomy(getattr(module, "model", module))
    below: dict[int, int] = {}  # how far below the head a parameter stands
    for steps, part in enumerate([*reversed(parts.layers), parts.below], start=1):
        below |= {id(p): steps for p in part.parameters()}
    return [
        (decay**steps, [p for p in trained if below.get(id(p), 0) == steps])
        for steps in range(parts.depth + 2)
    ]


def rate_factor(config: TrainConfig, total: int) -> Callable[[int], float]:
    """The learning rate's factor as a function of the optimiser step, counted from 0.

    It rises to 1 over ``warmup * total`` steps (the first step is not 0), then stays
    (``constant``), falls to 0 in a line (``linear``) or along half a cosine (``cosine``).

    Args:
        config: ``warmup`` and ``schedule``.
        total: optimiser steps of the whole training.
    """
    rise = round(config.warmup * total)
    falling = max(1, total - rise)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        done = min(1.0, (step - rise) / falling)
        if config.schedule == "linear":
            return 1.0 - done
        if config.schedule == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * done))
        return 1.0

    return factor
