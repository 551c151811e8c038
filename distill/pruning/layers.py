"""Depth: whole layers removed. What is left is a stock BERT with fewer layers.

Reference: Sajjad et al. 2023, On the effect of dropping layers of pre-trained transformer models
(which layers matter depends on the task, so they are tried here).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from distill.data.batches import to_device
from distill.pruning.search import first_batches
from distill.system.console import Bar
from distill.system.errors import ModelError
from distill.training.base import Batch, LossOf
from students.anatomy import anatomy

_PER_LAYER = ("heads_per_layer", "ffn_per_layer")


@torch.no_grad()
def layers_to_keep(
    model: PreTrainedModel,
    *,
    loss_of: LossOf,
    batches: Iterable[Batch],
    remove: int,
    steps: int,
) -> list[int]:
    """Choose layers one after another: each time the one without which the loss is lowest.

    The model is left as it is; ``loss_of`` is called in eval mode, on ``steps`` batches.

    Returns:
        The layers that stay, counted from 1.

    Raises:
        DataError: there are no batches.
        ModelError: no layer would be left.
    """
    layers = anatomy(model).layers
    if not 0 < remove < len(layers):
        raise ModelError(f"{remove} of {len(layers)} layers cannot be removed; one has to stay")
    chosen = first_batches(batches, steps)
    kept = list(range(len(layers)))
    trials = sum(len(layers) - done for done in range(remove))
    training = model.training
    model.eval()
    try:
        with Bar("judging layers", trials) as bar:
            for _ in range(remove):
                losses = {}
                for layer in kept:
                    left = [index for index in kept if index != layer]
                    with only_layers(model, left):
                        losses[layer] = _mean_loss(model, loss_of, chosen)
                    bar.advance()
                kept.remove(min(losses, key=lambda layer: (losses[layer], layer)))
    finally:
        model.train(training)
    return [layer + 1 for layer in kept]


def _mean_loss(model: PreTrainedModel, loss_of: LossOf, batches: Sequence[Batch]) -> float:
    total = 0.0
    for batch in batches:
        moved = to_device(batch, model.device)
        total += float(loss_of(model, moved)) / len(batches)
    if not total == total:  # not a number
        raise ModelError("the loss is not a number; did training diverge?")
    return total


@contextmanager
def only_layers(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[None]:
    """While the block lasts, the model has only these layers, counted from 0."""
    parts = anatomy(model)
    parts.replace_layers(nn.ModuleList(parts.layers[index] for index in layers))
    try:
        yield
    finally:
        parts.replace_layers(parts.layers)


def keep_layers(model: PreTrainedModel, keep: Sequence[int]) -> PreTrainedModel:
    """A copy of the model with some of its layers, from 1; a ModelError unless they rise."""
    count = anatomy(model).depth
    if not keep or list(keep) != sorted(set(keep)) or keep[0] < 1 or keep[-1] > count:
        raise ModelError(f"cannot keep layers {list(keep)}; they are 1 to {count}, each once")
    left: Any = copy.deepcopy(model)
    parts = anatomy(left)
    parts.replace_layers(nn.ModuleList(parts.layers[index - 1] for index in keep))
    for index, layer in enumerate(anatomy(left).parts):
        if hasattr(layer.attention, "layer_idx"):
            layer.attention.layer_idx = index
    configs = {id(part.config): part.config for part in left.modules() if hasattr(part, "config")}
    for config in configs.values():
        config.num_hidden_layers = len(keep)
        for name in _PER_LAYER:
            sizes = getattr(config, name, None)
            if sizes is not None:
                setattr(config, name, [sizes[index - 1] for index in keep])
    found: PreTrainedModel = left
    return found
