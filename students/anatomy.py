"""Where the parts of a BERT-family model lie, whatever head stands on top of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import nn
from transformers import PreTrainedModel

from distill.errors import ModelError

#: ``config.model_type`` of the families whose parts are named as in BERT.
FAMILIES = ("bert", "pruned_bert")


@dataclass(frozen=True)
class Anatomy:
    """The parts of an encoder that signals are taken from.

    Args:
        embeddings: the embedding module; its output is the embedding signal, (B, L, D).
        layers: the transformer layers, lowest first.
        depth: how many layers.
        hidden: D, the width of the hidden states.
        heads: attention heads of a layer by the config; a pruned layer may have fewer.
    """

    embeddings: nn.Module
    layers: nn.ModuleList
    depth: int
    hidden: int
    heads: int


def encoder_of(model: nn.Module) -> PreTrainedModel:
    """The base encoder (such as ``BertModel``) of a model with or without a head.

    Raises:
        ModelError: the model is not of a family whose parts are known.
    """
    if not isinstance(model, PreTrainedModel):
        raise ModelError(
            f"a {type(model).__name__} is not a transformers model; give a BertModel or BertFor..."
        )
    family = getattr(model.config, "model_type", None)
    if family not in FAMILIES:
        raise ModelError(
            f"a {type(model).__name__} (model type '{family}') is not a BERT; "
            f"model types that work: {', '.join(FAMILIES)}"
        )
    # transformers names the encoder inside a model with a head; without a head it is the model.
    return cast(PreTrainedModel, model.base_model)


def anatomy(model: nn.Module) -> Anatomy:
    """The parts of a BERT-family model.

    Raises:
        ModelError: the model is not of a family whose parts are known.

    Example:
        >>> anatomy(BertModel(BertConfig())).depth
        12
    """
    encoder = encoder_of(model)
    layers = cast(nn.ModuleList, cast(nn.Module, encoder.encoder).layer)
    return Anatomy(
        embeddings=cast(nn.Module, encoder.embeddings),
        layers=layers,
        depth=len(layers),
        hidden=encoder.config.hidden_size,
        heads=encoder.config.num_attention_heads,
    )
