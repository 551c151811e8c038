"""The parts of a model of a known family, whatever head stands on top of it.

Legend: B batch, L length, D hidden width, H heads, d head width, F feed-forward neurons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.bert.modeling_bert import eager_attention_forward

from distill.system.errors import ModelError
from students.family import FAMILIES, MODEL_TYPES, TEACHERS, Family, family_of

#: What a model may be called with.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Layer:
    """A transformer layer by what its parts do.

    Args:
        module: the layer.
        family: where its parts lie.
    """

    def __init__(self, module: nn.Module, family: Family) -> None:
        self.module = module
        self.attention: Any = module.get_submodule(family.attention)
        self.query = _linear(module, family.query)  # (H*d, D), as key and value
        self.key = _linear(module, family.key)
        self.value = _linear(module, family.value)
        self.out = _linear(module, family.out)  # (D, H*d)
        self.out_norm = module.get_submodule(family.out_norm)
        self.up = _linear(module, family.up)  # (F, D)
        self.activation = module.get_submodule(family.activation)
        self.down = _linear(module, family.down)  # (D, F)
        self.down_norm = module.get_submodule(family.down_norm)

    @property
    def heads(self) -> int:
        """How many heads there are; a pruned layer may have none."""
        return self.query.out_features // int(self.attention.attention_head_size)

    def context(self, asking: Tensor, hidden: Tensor, bias: Tensor) -> Tensor:
        """What the heads give, side by side, with attention written out and without dropout.

        Args:
            asking: hidden states of the tokens that ask, (B, L', D).
            hidden: of those that answer, (B, L, D).
            bias: added to scores, (B, 1, 1, L).

        Returns:
            (B, L', H*d).
        """
        if not self.heads:
            return asking[..., :0]
        query = self._split(self.query(asking))  # (B, H, L', d)
        key, value = self._split(self.key(hidden)), self._split(self.value(hidden))  # (B, H, L, d)
        own = self.attention
        mixed, _ = eager_attention_forward(own, query, key, value, bias, scaling=own.scaling)
        return cast(Tensor, mixed.flatten(2))

    def _split(self, projected: Tensor) -> Tensor:
        split: Tensor = projected.unflatten(-1, (self.heads, -1))  # type: ignore[no-untyped-call]
        return split.transpose(1, 2)

    def attended(self, context: Tensor, hidden: Tensor) -> Tensor:
        """Hidden states behind attention, (B, L, D), without dropout."""
        return cast(Tensor, self.out_norm(self.out(context) + hidden))

    def neurons(self, hidden: Tensor) -> Tensor:
        """The feed-forward neurons, (B, L, F)."""
        return cast(Tensor, self.activation(self.up(hidden)))

    def output(self, neurons: Tensor, hidden: Tensor) -> Tensor:
        """Hidden states behind the feed-forward block, (B, L, D), without dropout."""
        return cast(Tensor, self.down_norm(self.down(neurons) + hidden))


@dataclass(frozen=True)
class Anatomy:
    """The parts of an encoder that signals are taken from and that are pruned."""

    family: Family  # the model's
    encoder: PreTrainedModel  # the model without its head
    embeddings: nn.Module  # the tables of embeddings, with what stands behind them
    # from their width to that of the hidden states; ``None`` where they are alike
    projection: nn.Module | None
    layers: nn.ModuleList  # the transformer layers, lowest first
    depth: int  # how many layers
    hidden: int  # D, the width of the hidden states
    heads: int  # attention heads of a layer by the config; a pruned layer may have fewer

    @property
    def embedded(self) -> nn.Module:
        """The module whose output, (B, L, D), enters the first layer: the embedding signal."""
        return self.projection or self.embeddings

    @property
    def below(self) -> nn.ModuleList:
        """What lies below the first layer."""
        return nn.ModuleList([self.embeddings, *([self.projection] if self.projection else ())])

    @property
    def parts(self) -> list[Layer]:
        """The layers by what their parts do.

        Raises:
            ModelError: the family only teaches.
        """
        if self.family.name in TEACHERS:
            raise ModelError(
                f"a {type(self.encoder).__name__} can teach, and is not pruned or rebuilt itself; "
                f"model types that are: {', '.join(FAMILIES)}"
            )
        return [Layer(layer, self.family) for layer in self.layers]

    @property
    def attentions(self) -> list[nn.Module]:
        """The self-attention module of each layer; layers may share one."""
        return [layer.get_submodule(self.family.attention) for layer in self.layers]

    @property
    def outputs(self) -> list[nn.Module]:
        """The module whose output is the hidden state of each layer; layers may share one."""
        found = list(self.layers)
        for number, path in self.family.behind:
            module = inner(self.encoder, path)
            if module is not None:
                found[number - 1 if number > 0 else number] = module
        return found

    @property
    def heads_left(self) -> list[int]:
        """Attention heads of each layer; a pruned one may have fewer than the config says."""
        if self.family.name in TEACHERS:
            return [self.heads] * self.depth
        return [layer.heads for layer in self.parts]

    def replace_layers(self, layers: nn.ModuleList) -> None:
        """Put others in the place of the encoder's layers."""
        parent, _, name = self.family.layers.rpartition(".")
        setattr(self.encoder.get_submodule(parent), name, layers)

    def embed(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Hidden states that enter the first layer, (B, L, D).

        Args:
            inputs: as :func:`inputs_of` gives them; the mask is not needed.
        """
        given = {name: tensor for name, tensor in inputs.items() if name != "attention_mask"}
        embedded = self.embeddings(**given)
        return cast(Tensor, embedded if self.projection is None else self.projection(embedded))


def inner(module: nn.Module, path: str | None) -> nn.Module | None:
    """A module inside another by its path; ``None`` where there is none."""
    try:
        return module.get_submodule(path) if path else None
    except AttributeError:
        return None


def _linear(layer: nn.Module, path: str) -> nn.Linear:
    return cast(nn.Linear, layer.get_submodule(path))


def anatomy(model: nn.Module) -> Anatomy:
    """The parts of a model.

    Raises:
        ModelError: the model is not of a family whose parts are known.

    Example:
        >>> anatomy(BertModel(BertConfig())).depth
        12
    """
    if not isinstance(model, PreTrainedModel):
        raise ModelError(
            f"a {type(model).__name__} is not a transformers model; give a BertModel or BertFor..."
        )
    kind = getattr(model.config, "model_type", None)
    if kind not in MODEL_TYPES:
        raise ModelError(
            f"a {type(model).__name__} (model type '{kind}') is of no family that is known: it can "
            f"teach its logits alone; model types that work here: {', '.join(MODEL_TYPES)}"
        )
    # transformers names the encoder inside a model with a head; without a head it is the model.
    encoder = cast(PreTrainedModel, model.base_model)
    family = family_of(encoder.config.model_type)
    layers = cast(nn.ModuleList, encoder.get_submodule(family.layers))
    if family.shared:
        depth, groups = int(encoder.config.num_hidden_layers), list(layers)
        layers = nn.ModuleList([groups[i * len(groups) // depth] for i in range(depth)])
    return Anatomy(
        family=family,
        encoder=encoder,
        embeddings=cast(nn.Module, encoder.embeddings),
        projection=inner(encoder, family.projection),
        layers=layers,
        depth=len(layers),
        hidden=encoder.config.hidden_size,
        heads=encoder.config.num_attention_heads,
    )


def input_names(model: nn.Module) -> tuple[str, ...]:
    """Which of :data:`INPUTS` a model reads: types of tokens only where it tells any apart."""
    config: Any = getattr(model, "config", None)
    types = 2 if config is None else int(getattr(config, "type_vocab_size", 0) or 0)
    return INPUTS if types > 1 else INPUTS[:2]


def inputs_of(model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of a batch that a model is called with.

    Args:
        model: the model.
        batch: tensors by name, among them some of :data:`INPUTS`, each (B, L).
    """
    return {name: batch[name] for name in input_names(model) if name in batch}
