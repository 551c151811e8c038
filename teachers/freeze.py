"""Freezing: a teacher for good, or the lower part of a model that is fine-tuned."""

from __future__ import annotations

from typing import TypeVar

from torch import nn
from transformers import PreTrainedModel

from distill.system.errors import ModelError
from students.anatomy import anatomy

Model = TypeVar("Model", bound=nn.Module)


def freeze(model: Model) -> Model:
    """Freeze a model for real: no gradients, and eval mode whatever ``train()`` is called on.

    A trainer that puts everything into training mode would otherwise switch the teacher's dropout
    on, and its targets would be noise.

    Args:
        model: changed in place.

    Returns:
        The same model.
    """
    model.requires_grad_(False)
    model.eval()
    for module in model.modules():
        # On the object, not the class: the class is shared with models that do train.
        object.__setattr__(module, "train", _Stays(module))
    return model


class _Stays:
    """What ``train()`` is on a frozen module: it stays in eval mode.

    An object rather than a bound method, so that a copy of the module, in this process or in
    another, has one that is bound to the copy.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, mode: bool = True) -> nn.Module:
        del mode
        self.module.training = False
        return self.module


def freeze_lower(model: PreTrainedModel, layers: int) -> PreTrainedModel:
    """Keep the embeddings and the lowest layers as they are while the rest is fine-tuned.

    Args:
        model: changed in place.
        layers: how many of the lowest layers; 0 freezes nothing, not even the embeddings.

    Returns:
        The same model.

    Raises:
        ModelError: the model has fewer layers.
    """
    parts = anatomy(model)
    if not 0 <= layers <= parts.depth:
        raise ModelError(
            f"freeze_layers: {layers} layers cannot be frozen: the teacher has {parts.depth}"
        )
    if layers:
        parts.below.requires_grad_(False)
        for layer in parts.layers[:layers]:
            layer.requires_grad_(False)
    return model
