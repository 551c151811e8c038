"""Models whose layers have their own numbers of heads and neurons, or whose table is a product.

A pruned model is the stock class of ``transformers`` whose Linear layers are replaced by ones of
the sizes that the config lists; all names stay. Its word embeddings may be a narrow table and a
Linear layer behind it (Lan et al. 2020, ALBERT, section 3.1). Each of
:data:`~students.family.FAMILIES` gets a config and a class for every head: ``PrunedBertConfig``,
``PrunedBertModel``, ...

The file needs torch, transformers and ``family.py`` only: both are copied into saved folders, so
that ``AutoModel*.from_pretrained(folder, trust_remote_code=True)`` works from the folder alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from students.family import FAMILIES, PRUNED, Family, family_of

#: Classes of transformers that find a pruned model's, and the ends of the names of those.
AUTO = {
    "AutoModel": "Model",
    "AutoModelForSequenceClassification": "ForSequenceClassification",
    "AutoModelForTokenClassification": "ForTokenClassification",
    "AutoModelForQuestionAnswering": "ForQuestionAnswering",
}


class EmptyLinear(nn.Linear):
    """A Linear layer without inputs or without outputs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        nn.Module.__init__(self)  # nn.Linear warns when it fills an empty weight
        self.in_features, self.out_features = inputs, outputs
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.in_features:
            return super().forward(input)
        # A product over no inputs is the bias; written out, because exporters and int8 quantisers
        # do not know matrices of size 0.
        return self.bias.expand(*input.shape[:-1], self.out_features)


def make_linear(inputs: int, outputs: int) -> nn.Linear:
    """A Linear layer that may have no inputs or no outputs."""
    return nn.Linear(inputs, outputs) if inputs and outputs else EmptyLinear(inputs, outputs)


class FactoredEmbedding(nn.Embedding):
    """Word embeddings as the product of a narrow table and a matrix.

    Args:
        rows: tokens, V.
        rank: width of the table, R.
        width: of the embeddings, D.
        padding_idx: the token whose row is not trained.
    """

    def __init__(self, rows: int, rank: int, width: int, padding_idx: int | None) -> None:
        super().__init__(rows, rank, padding_idx)  # weight: (V, R)
        self.projection = nn.Linear(rank, width, bias=False)  # weight: (D, R)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        wide: torch.Tensor = self.projection(super().forward(input))
        return wide


class _Sizes:
    """What configurations of pruned models share.

    ``num_attention_heads`` and the number of neurons stay those of the unpruned model; the lists
    say what is left. Left out, a list means that nothing was removed, and a rank that the table of
    word embeddings is as wide as they are.
    """

    def __post_init__(self, **kwargs: Any) -> None:
        own: Any = self
        if own.head_dim is None:
            own.head_dim = own.hidden_size // own.num_attention_heads
        if own.heads_per_layer is None:
            own.heads_per_layer = [own.num_attention_heads] * own.num_hidden_layers
        if own.ffn_per_layer is None:
            neurons = getattr(own, family_of(own.model_type).ffn_size)
            own.ffn_per_layer = [neurons] * own.num_hidden_layers
        for name in ("heads_per_layer", "ffn_per_layer"):
            sizes = getattr(own, name)
            if len(sizes) != own.num_hidden_layers or min(sizes, default=0) < 0:
                raise ValueError(
                    f"{name} needs one size of 0 or more for each of the "
                    f"{own.num_hidden_layers} layers, not {sizes}"
                )
        if own.embedding_rank is not None and own.embedding_rank < 1:
            raise ValueError(f"embedding_rank must be at least 1, not {own.embedding_rank}")
        super().__post_init__(**kwargs)  # type: ignore[misc]


class _NoHeads:
    """Self-attention that has lost all its heads: an output without features, and no scores."""

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """In the place of the family's own forward, which views with ``-1`` heads."""
        del args, kwargs
        own: Any = self
        batch, length = hidden_states.shape[:2]
        context = hidden_states[..., :0]  # (B, L, 0)
        family = family_of(own.config.model_type)
        if family.out.startswith(f"{family.attention}."):
            context = getattr(self, family.out.removeprefix(f"{family.attention}."))(context)
        return context, hidden_states.new_empty(batch, 0, length, length)


@contextmanager
def _one_head(config: PreTrainedConfig, family: Family) -> Iterator[None]:
    """While a stock class builds layers that are then replaced: with sizes that fit any width."""
    told: Any = config
    heads, ffn = told.num_attention_heads, getattr(told, family.ffn_size)
    told.num_attention_heads = 1
    setattr(told, family.ffn_size, 1)
    try:
        yield
    finally:
        told.num_attention_heads = heads
        setattr(told, family.ffn_size, ffn)


def _resize(model: PreTrainedModel, config: PreTrainedConfig, family: Family) -> None:
    """Give the Linear layers of every encoder layer, and the embeddings, the config's sizes."""
    told: Any = config
    if told.embedding_rank is not None:
        words: Any = model.get_input_embeddings()
        model.set_input_embeddings(
            FactoredEmbedding(
                words.num_embeddings, told.embedding_rank, words.embedding_dim, words.padding_idx
            )
        )
    layers: Any = model.base_model.get_submodule(family.layers)
    hidden, head_dim = int(told.hidden_size), int(told.head_dim)
    for layer, heads, ffn in zip(layers, told.heads_per_layer, told.ffn_per_layer, strict=True):
        width = heads * head_dim
        sizes = dict.fromkeys((family.query, family.key, family.value), (hidden, width))
        sizes |= {family.out: (width, hidden), family.up: (hidden, ffn), family.down: (ffn, hidden)}
        for path, (inputs, outputs) in sizes.items():
            parent, _, name = path.rpartition(".")
            setattr(layer.get_submodule(parent), name, make_linear(inputs, outputs))
        attention = layer.get_submodule(family.attention)
        setattr(attention, family.head_count, heads)
        attention.attention_head_size, attention.scaling = head_dim, head_dim**-0.5
        if hasattr(attention, "all_head_size"):
            attention.all_head_size = width
        if not heads:
            attention.__class__ = globals()[f"Empty{type(attention).__name__}"]


class _Resized:
    """What classes of pruned models share: a stock model that is resized when it is built."""

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        family = family_of(config.model_type)
        with _one_head(config, family):
            super().__init__(config, *args, **kwargs)  # type: ignore[call-arg]
        own: Any = self
        _resize(own, config, family)
        own.post_init()  # draws the weights of the new layers


def _own(first: type, stock: type, name: str, **body: Any) -> Any:
    globals()[name] = type(name, (first, stock), {"__module__": __name__, **body})
    return globals()[name]


def _make(family: Family) -> None:
    """Make a family's classes, and make the Auto classes of ``transformers`` know them."""
    sizes = {"heads_per_layer": "list[int] | None", "ffn_per_layer": "list[int] | None"}
    fields = {**sizes, "head_dim": "int | None", "embedding_rank": "int | None"}
    config = _own(
        _Sizes,
        getattr(transformers, f"{family.prefix}Config"),
        f"Pruned{family.prefix}Config",
        model_type=f"{PRUNED}{family.name}",
        __annotations__=fields,
        **dict.fromkeys(fields),
    )
    # A copy in a saved folder is registered by transformers itself and must not displace this one.
    registers = __name__ == "students.pruned"
    if registers:
        transformers.AutoConfig.register(config.model_type, config, exist_ok=True)
    for auto, end in AUTO.items():
        stock = getattr(transformers, f"{family.prefix}{end}")
        made = _own(_Resized, stock, f"Pruned{family.prefix}{end}", config_class=config)
        if registers:
            getattr(transformers, auto).register(config, made, exist_ok=True)
    attention = f"{family.prefix}SelfAttention"
    _own(_NoHeads, getattr(sys.modules[stock.__module__], attention), f"Empty{attention}")


def pruned_config(family: str) -> type[PreTrainedConfig]:
    """The class of a pruned model's configuration.

    It has, beside what the family's has, ``heads_per_layer``, ``ffn_per_layer``, ``head_dim`` and
    ``embedding_rank``.

    Args:
        family: a key of :data:`~students.family.FAMILIES`.

    Example:
        >>> config = pruned_config("bert")(
        ...     hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        ...     heads_per_layer=[4, 1], ffn_per_layer=[64, 0],
        ... )
        >>> config.head_dim
        8
    """
    found: type[PreTrainedConfig] = globals()[f"Pruned{FAMILIES[family].prefix}Config"]
    return found


def pruned_class(family: str, end: str) -> type[PreTrainedModel]:
    """The class of a pruned model.

    Args:
        family: a key of :data:`~students.family.FAMILIES`.
        end: how the name of its stock class ends, a value of :data:`AUTO`.
    """
    found: type[PreTrainedModel] = globals()[f"Pruned{FAMILIES[family].prefix}{end}"]
    return found


def auto_map(family: str) -> dict[str, str]:
    """What a saved folder's ``config.json`` says, so that the Auto classes find this file in it."""
    begin = f"pruned.Pruned{FAMILIES[family].prefix}"
    return {"AutoConfig": f"{begin}Config"} | {auto: f"{begin}{end}" for auto, end in AUTO.items()}


for _family in FAMILIES.values():
    _make(_family)
