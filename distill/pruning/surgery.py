"""Surgery: a masked model becomes one whose tensors are smaller.

A head is removed by cutting its rows from query, key and value and its columns from the output
projection; a neuron by cutting its row from the intermediate layer and its column from the output
layer. Nothing is folded or rescaled, so the result computes exactly what the masked model does.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from distill.pruning.masks import Masks, head_dim
from distill.system.errors import ModelError
from students.anatomy import anatomy
from students.heads import class_of, head_of
from students.pooling import DENSE
from students.pruned import pruned_config

# Written anew for the sliced model, or true only of the file the old one came from.
_DROPPED = {"model_type", "architectures", "auto_map"}
_DROPPED |= {"heads_per_layer", "ffn_per_layer", "head_dim", "embedding_rank"}


def slice_model(model: PreTrainedModel, masks: Masks) -> PreTrainedModel:
    """Cut what the masks do not keep out of the tensors; the given model is left as it is.

    Returns:
        A stock model where every layer keeps all heads and the same number of neurons; otherwise
        one of :mod:`students.pruned`. Device, dtype, training mode and attention implementation
        are the model's.

    Raises:
        ModelError: the masks do not fit the model, or its class cannot be pruned.
    """
    masks.check(model)
    config = config_of_sizes(model, heads=masks.heads_kept, ffn=masks.ffn_kept)
    return rebuilt(model, config, _sliced_weights(model, masks))


def rebuilt(
    model: PreTrainedModel, config: PreTrainedConfig, weights: dict[str, torch.Tensor]
) -> PreTrainedModel:
    """A model of a configuration and with weights, otherwise like another."""
    target = class_of(config, _head_of(model))
    extra: dict[str, Any] = {}
    if getattr(model, "pooler", model) is None:
        extra["add_pooling_layer"] = False
    with torch.random.fork_rng(devices=[]):  # the first weights are thrown away: draw none
        sliced = target(config, **extra)
    sliced.load_state_dict(weights, strict=True)
    nn.Module.to(sliced, device=model.device, dtype=model.dtype)
    sliced.set_attn_implementation(model.config._attn_implementation)
    sliced.train(model.training)
    return sliced


def _head_of(model: PreTrainedModel) -> str:
    """A model's head, if a model with it can be pruned."""
    head = head_of(model)
    if type(model) is not class_of(model.config, head):
        known = ", ".join(
            class_of(model.config, one).__name__
            for one in ("none", "classification", "tokens", "spans")
        )
        raise ModelError(f"cannot prune a {type(model).__name__}; known are {known}")
    return head


def config_of_sizes(
    model: PreTrainedModel,
    *,
    heads: list[int],
    ffn: list[int],
    hidden: int | None = None,
    rank: int | None = None,
) -> PreTrainedConfig:
    """The configuration of a model after surgery.

    Args:
        model: the model before.
        heads: attention heads of every layer afterwards.
        ffn: neurons of every layer.
        hidden: the hidden width; left out, as before.
        rank: the width of a factored table of word embeddings; left out, as before.

    Returns:
        A stock model's where every layer has the same sizes, its heads are as wide together as
        the hidden width, and the word embeddings are one table; else a pruned one's.
    """
    _head_of(model)
    parts, config = anatomy(model), model.config
    given = {key: value for key, value in config.to_dict().items() if key not in _DROPPED}
    width = hidden or parts.hidden
    changed = {"hidden_size": width}
    if hidden is not None and given.get(DENSE):
        first, *others = given[DENSE]
        given[DENSE] = [first | {"in_features": width}, *others]
    if parts.projection is None and "embedding_size" in given:
        changed["embedding_size"] = width
    rank = rank or getattr(config, "embedding_rank", None)
    even = len(set(heads)) == 1 and len(set(ffn)) == 1 and ffn[0] > 0
    if even and rank is None and heads[0] * head_dim(model) == width:
        changed |= {parts.family.ffn_size: ffn[0], "num_attention_heads": heads[0]}
        kind: type[PreTrainedConfig] = getattr(transformers, f"{parts.family.prefix}Config")
    else:
        given |= {"head_dim": head_dim(model), "heads_per_layer": heads, "ffn_per_layer": ffn}
        given["embedding_rank"] = rank
        kind = pruned_config(parts.family.name)
    return kind(**given | {config.attribute_map.get(key, key): changed[key] for key in changed})


def _sliced_weights(model: PreTrainedModel, masks: Masks) -> dict[str, torch.Tensor]:
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    names = {module: name for name, module in model.named_modules()}
    for layer, heads, ffn in zip(anatomy(model).parts, masks.heads, masks.ffn, strict=True):
        features = heads.repeat_interleave(head_dim(model))  # (H*d,)
        rows = [(part, features) for part in (layer.query, layer.key, layer.value)]
        rows.append((layer.up, ffn))
        for module, keep in rows:
            for part in ("weight", "bias"):
                name = f"{names[module]}.{part}"
                weights[name] = weights[name][keep.to(weights[name].device)]
        for module, keep in ((layer.out, features), (layer.down, ffn)):
            name = f"{names[module]}.weight"
            weights[name] = weights[name][:, keep.to(weights[name].device)]
    return weights
