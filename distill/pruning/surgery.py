"""Surgery: a masked model becomes one whose tensors are smaller.

A head is removed by cutting its rows from query, key and value and its columns from the output
projection; a neuron by cutting its row from the intermediate layer and its column from the output
layer. Nothing is folded or rescaled, so the result computes exactly what the masked model does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    PreTrainedModel,
)

from distill.errors import ModelError
from distill.pruning.masks import Masks, encoder_layers, head_dim
from students.pruned_bert import (
    PrunedBertConfig,
    PrunedBertForQuestionAnswering,
    PrunedBertForSequenceClassification,
    PrunedBertForTokenClassification,
    PrunedBertModel,
)

# (stock class, class with sizes per layer)
_CLASSES: tuple[tuple[type[PreTrainedModel], type[PreTrainedModel]], ...] = (
    (BertModel, PrunedBertModel),
    (BertForSequenceClassification, PrunedBertForSequenceClassification),
    (BertForTokenClassification, PrunedBertForTokenClassification),
    (BertForQuestionAnswering, PrunedBertForQuestionAnswering),
)
# Written anew for the sliced model, or true only of the file the old one came from.
_DROPPED = ("model_type", "architectures", "auto_map", "heads_per_layer", "ffn_per_layer")


def slice_model(model: PreTrainedModel, masks: Masks) -> PreTrainedModel:
    """Cut what the masks do not keep out of the tensors.

    The given model is left as it is. It may have been pruned before.

    Args:
        model: a BERT, stock or pruned.
        masks: what is kept of each of its layers.

    Returns:
        A stock BERT where every layer keeps all heads and the same number of neurons; otherwise a
        ``PrunedBert*``. Device, dtype, training mode and attention implementation are the model's.

    Raises:
        ModelError: the masks do not fit the model, or its class cannot be pruned.
    """
    masks.check(model)
    config = config_of_sizes(model, heads=masks.heads_kept, ffn=masks.ffn_kept)
    return rebuilt(model, config, _sliced_weights(model, masks))


def rebuilt(
    model: PreTrainedModel, config: BertConfig, weights: dict[str, torch.Tensor]
) -> PreTrainedModel:
    """A model of other sizes with given weights.

    Args:
        model: what it was before; device, dtype, mode and attention implementation are taken over.
        config: that of :func:`config_of_sizes`.
        weights: all of its weights.

    Raises:
        ModelError: the model's class cannot be pruned.
    """
    stock, pruned = _classes_of(model)
    target = stock if type(config) is BertConfig else pruned
    extra: dict[str, Any] = {}
    if issubclass(target, BertModel) and model.pooler is None:
        extra["add_pooling_layer"] = False
    with torch.random.fork_rng(devices=[]):  # the first weights are thrown away: draw none
        sliced = target(config, **extra)
    sliced.load_state_dict(weights, strict=True)
    nn.Module.to(sliced, device=model.device, dtype=model.dtype)
    sliced.set_attn_implementation(model.config._attn_implementation)
    sliced.train(model.training)
    return sliced


@contextmanager
def masked_forward(model: PreTrainedModel, masks: Masks) -> Iterator[PreTrainedModel]:
    """While the block lasts, the model computes with the removed heads and neurons set to zero.

    Yields:
        The model itself.

    Raises:
        ModelError: the masks do not fit the model.
    """
    masks.check(model)
    handles = []
    try:
        for layer, heads, ffn in zip(encoder_layers(model), masks.heads, masks.ffn, strict=True):
            features = heads.repeat_interleave(head_dim(model))  # (H*d,)
            for dense, keep in (
                (layer.attention.output.dense, features),
                (layer.output.dense, ffn),
            ):
                handles.append(dense.register_forward_pre_hook(_zeroing(keep)))
        yield model
    finally:
        for handle in handles:
            handle.remove()


def _zeroing(keep: torch.Tensor) -> Any:
    def hook(_: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (inputs[0] * keep.to(device=inputs[0].device, dtype=inputs[0].dtype),)

    return hook


def _classes_of(model: PreTrainedModel) -> tuple[type[PreTrainedModel], type[PreTrainedModel]]:
    for pair in _CLASSES:
        if type(model) in pair:
            return pair
    known = ", ".join(stock.__name__ for stock, _ in _CLASSES)
    raise ModelError(
        f"cannot prune a {type(model).__name__}; known are {known} and their pruned kin"
    )


def config_of_sizes(
    model: PreTrainedModel, *, heads: list[int], ffn: list[int], hidden: int | None = None
) -> BertConfig:
    """The configuration of a model after surgery.

    Args:
        model: the model before.
        heads: attention heads of every layer afterwards.
        ffn: neurons of every layer.
        hidden: the hidden width; left out, as before.

    Returns:
        A stock BERT's where every layer has the same sizes and its heads are as wide together as
        the hidden width; else a pruned one's.
    """
    _classes_of(model)
    given = {key: value for key, value in model.config.to_dict().items() if key not in _DROPPED}
    given["hidden_size"] = width = hidden or int(model.config.hidden_size)
    given.pop("head_dim", None)
    even = len(set(heads)) == 1 and len(set(ffn)) == 1 and ffn[0] > 0
    if even and heads[0] * head_dim(model) == width:
        return BertConfig(**{**given, "intermediate_size": ffn[0], "num_attention_heads": heads[0]})
    return PrunedBertConfig(
        **given, head_dim=head_dim(model), heads_per_layer=heads, ffn_per_layer=ffn
    )


def _sliced_weights(model: PreTrainedModel, masks: Masks) -> dict[str, torch.Tensor]:
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    names = {module: name for name, module in model.named_modules()}
    for layer, heads, ffn in zip(encoder_layers(model), masks.heads, masks.ffn, strict=True):
        features = heads.repeat_interleave(head_dim(model))  # (H*d,)
        attention = layer.attention
        rows = [(part, features) for part in (attention.self.query, attention.self.key)]
        rows += [(attention.self.value, features), (layer.intermediate.dense, ffn)]
        for module, keep in rows:
            for part in ("weight", "bias"):
                name = f"{names[module]}.{part}"
                weights[name] = weights[name][keep.to(weights[name].device)]
        for module, keep in ((attention.output.dense, features), (layer.output.dense, ffn)):
            name = f"{names[module]}.weight"
            weights[name] = weights[name][:, keep.to(weights[name].device)]
    return weights
