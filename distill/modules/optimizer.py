"""AdamW without decay where it hurts, and the learning rate step by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from distill.recipe.schema import TrainConfig


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (fused) over a module's trainable parameters.

    Biases and LayerNorm weights, which have one dimension, are not decayed.

    Args:
        module: whose parameters; frozen ones are left out.
        config: learning rate and weight decay.

    Reference:
        Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.999), eps=1e-8, fused=True)


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


def make_schedule(
    optimizer: torch.optim.Optimizer, config: TrainConfig, total: int
) -> dict[str, Any]:
    """The schedule as Lightning wants it: one change per optimiser step."""
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor(config, total))
    return {"scheduler": scheduler, "interval": "step", "frequency": 1}
