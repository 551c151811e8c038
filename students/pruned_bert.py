"""A BERT whose layers have their own numbers of attention heads and feed-forward neurons.

The file needs torch and transformers only: it is copied into saved folders, so that
``AutoModel*.from_pretrained(folder, trust_remote_code=True)`` works from the folder alone.
Attribute names are those of ``transformers``' BERT; only the sizes of the Linear layers differ.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import (
    BertAttention,
    BertEmbeddings,
    BertEncoder,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertIntermediate,
    BertLayer,
    BertModel,
    BertOutput,
    BertPooler,
    BertSelfAttention,
    BertSelfOutput,
)

# Shapes: B batch, L length, h heads kept in the layer, d head size, F neurons kept, D hidden.


class PrunedBertConfig(BertConfig):
    """BERT's configuration with sizes per layer.

    ``num_attention_heads`` and ``intermediate_size`` stay those of the unpruned model; the lists
    say what is left. Left out, a list means that nothing was removed.

    Example:
        >>> config = PrunedBertConfig(
        ...     hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        ...     heads_per_layer=[4, 1], ffn_per_layer=[64, 0],
        ... )
        >>> config.head_dim
        8
    """

    model_type = "pruned_bert"

    heads_per_layer: list[int] | None = None
    ffn_per_layer: list[int] | None = None
    head_dim: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        if self.heads_per_layer is None:
            self.heads_per_layer = [self.num_attention_heads] * self.num_hidden_layers
        if self.ffn_per_layer is None:
            self.ffn_per_layer = [self.intermediate_size] * self.num_hidden_layers
        for name in ("heads_per_layer", "ffn_per_layer"):
            sizes = getattr(self, name)
            if len(sizes) != self.num_hidden_layers or min(sizes, default=0) < 0:
                raise ValueError(
                    f"{name} needs one size of 0 or more for each of the "
                    f"{self.num_hidden_layers} layers, not {sizes}"
                )
        super().__post_init__(**kwargs)


def make_linear(inputs: int, outputs: int) -> nn.Linear:
    """A Linear layer that may have no inputs or no outputs (torch warns when it fills those)."""
    if inputs and outputs:
        return nn.Linear(inputs, outputs)
    linear = nn.Linear(1, 1)
    linear.in_features, linear.out_features = inputs, outputs
    linear.weight = nn.Parameter(torch.empty(outputs, inputs))
    linear.bias = nn.Parameter(torch.zeros(outputs))
    return linear


class PrunedBertSelfAttention(BertSelfAttention):
    """Self-attention with ``heads`` heads; without heads its output has no features."""

    def __init__(self, config: PrunedBertConfig, heads: int, layer_idx: int) -> None:
        nn.Module.__init__(self)
        head_dim = int(config.head_dim or 0)
        self.config = config
        self.num_attention_heads = heads
        self.attention_head_size = head_dim
        self.all_head_size = heads * head_dim
        self.scaling = head_dim**-0.5
        self.query = make_linear(config.hidden_size, self.all_head_size)
        self.key = make_linear(config.hidden_size, self.all_head_size)
        self.value = make_linear(config.hidden_size, self.all_head_size)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.is_decoder = False
        self.is_causal = False
        self.layer_idx = layer_idx

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """BERT's own forward, which views with ``-1`` heads; that fails for a layer with none."""
        if self.num_attention_heads:
            return super().forward(hidden_states, *args, **kwargs)
        batch, length = hidden_states.shape[:2]
        nothing = hidden_states.new_empty(batch, length, 0)  # (B, L, 0)
        return nothing, hidden_states.new_empty(batch, 0, length, length)


class PrunedBertSelfOutput(BertSelfOutput):
    """Back from the kept heads to the hidden size; the bias alone where no head is left."""

    def __init__(self, config: PrunedBertConfig, inputs: int) -> None:
        nn.Module.__init__(self)
        self.dense = make_linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        """As in BERT: dense, dropout, residual sum, LayerNorm."""
        return _output(self, hidden_states, input_tensor)


class PrunedBertOutput(BertOutput):
    """Back from the kept neurons to the hidden size; the bias alone where none is left."""

    def __init__(self, config: PrunedBertConfig, inputs: int) -> None:
        nn.Module.__init__(self)
        self.dense = make_linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        """As in BERT: dense, dropout, residual sum, LayerNorm."""
        return _output(self, hidden_states, input_tensor)


def _output(
    module: PrunedBertSelfOutput | PrunedBertOutput,
    hidden_states: torch.Tensor,
    input_tensor: torch.Tensor,
) -> torch.Tensor:
    # A product over no inputs is the bias; written out, because exporters and int8 quantisers
    # do not know matrices of size 0.
    if module.dense.in_features:
        dense = module.dense(hidden_states)  # (B, L, D)
    else:
        dense = module.dense.bias.expand_as(input_tensor)  # (B, L, D)
    out: torch.Tensor = module.LayerNorm(module.dropout(dense) + input_tensor)
    return out


class PrunedBertLayer(BertLayer):
    """One encoder layer with its own numbers of heads and neurons."""

    def __init__(self, config: PrunedBertConfig, *, heads: int, ffn: int, layer_idx: int) -> None:
        super(BertLayer, self).__init__()
        self.chunk_size_feed_forward = config.chunk_size_feed_forward
        self.seq_len_dim = 1
        self.is_decoder = False
        self.add_cross_attention = False
        self.attention = BertAttention.__new__(BertAttention)
        nn.Module.__init__(self.attention)
        self.attention.is_cross_attention = False
        self.attention.self = PrunedBertSelfAttention(config, heads, layer_idx)
        self.attention.output = PrunedBertSelfOutput(config, heads * int(config.head_dim or 0))
        self.intermediate = BertIntermediate(config)
        self.intermediate.dense = make_linear(config.hidden_size, ffn)
        self.output = PrunedBertOutput(config, ffn)


class PrunedBertEncoder(BertEncoder):
    """The stack of layers."""

    def __init__(self, config: PrunedBertConfig) -> None:
        nn.Module.__init__(self)
        self.config = config
        sizes = zip(config.heads_per_layer or (), config.ffn_per_layer or (), strict=True)
        self.layer = nn.ModuleList(
            PrunedBertLayer(config, heads=heads, ffn=ffn, layer_idx=index)
            for index, (heads, ffn) in enumerate(sizes)
        )


class PrunedBertModel(BertModel):
    """The encoder, as :class:`transformers.BertModel` with sizes per layer."""

    config: PrunedBertConfig
    config_class = PrunedBertConfig
    _no_split_modules = ["BertEmbeddings", "PrunedBertLayer"]  # noqa: RUF012

    def __init__(self, config: PrunedBertConfig, add_pooling_layer: bool = True) -> None:
        super(BertModel, self).__init__(config)
        self.config = config
        self.gradient_checkpointing = False
        self.embeddings = BertEmbeddings(config)
        self.encoder = PrunedBertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None
        self.post_init()


class PrunedBertForSequenceClassification(BertForSequenceClassification):
    """The classifier, as :class:`transformers.BertForSequenceClassification`."""

    config: PrunedBertConfig
    config_class = PrunedBertConfig

    def __init__(self, config: PrunedBertConfig) -> None:
        super(BertForSequenceClassification, self).__init__(config)
        self.num_labels = int(config.num_labels or 0)
        self.config = config
        self.bert = PrunedBertModel(config)
        dropout = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if dropout is None else dropout)
        self.classifier = nn.Linear(config.hidden_size, self.num_labels)
        self.post_init()


class PrunedBertForTokenClassification(BertForTokenClassification):
    """The tagger, as :class:`transformers.BertForTokenClassification`."""

    config: PrunedBertConfig
    config_class = PrunedBertConfig

    def __init__(self, config: PrunedBertConfig) -> None:
        super(BertForTokenClassification, self).__init__(config)
        self.num_labels = int(config.num_labels or 0)
        self.bert = PrunedBertModel(config, add_pooling_layer=False)
        dropout = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if dropout is None else dropout)
        self.classifier = nn.Linear(config.hidden_size, self.num_labels)
        self.post_init()


class PrunedBertForQuestionAnswering(BertForQuestionAnswering):
    """The model that marks spans, as :class:`transformers.BertForQuestionAnswering`."""

    config: PrunedBertConfig
    config_class = PrunedBertConfig

    def __init__(self, config: PrunedBertConfig) -> None:
        super(BertForQuestionAnswering, self).__init__(config)
        self.num_labels = int(config.num_labels or 0)
        self.bert = PrunedBertModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, self.num_labels)
        self.post_init()


#: What a saved folder's ``config.json`` says, so that the Auto classes find this file in it.
AUTO_MAP = {
    "AutoConfig": "pruned_bert.PrunedBertConfig",
    "AutoModel": "pruned_bert.PrunedBertModel",
    "AutoModelForSequenceClassification": "pruned_bert.PrunedBertForSequenceClassification",
    "AutoModelForTokenClassification": "pruned_bert.PrunedBertForTokenClassification",
    "AutoModelForQuestionAnswering": "pruned_bert.PrunedBertForQuestionAnswering",
}


def register() -> None:
    """Make the Auto classes of ``transformers`` know these classes; harmless when repeated."""
    AutoConfig.register(PrunedBertConfig.model_type, PrunedBertConfig, exist_ok=True)
    AutoModel.register(PrunedBertConfig, PrunedBertModel, exist_ok=True)
    AutoModelForSequenceClassification.register(
        PrunedBertConfig, PrunedBertForSequenceClassification, exist_ok=True
    )
    AutoModelForTokenClassification.register(
        PrunedBertConfig, PrunedBertForTokenClassification, exist_ok=True
    )
    AutoModelForQuestionAnswering.register(
        PrunedBertConfig, PrunedBertForQuestionAnswering, exist_ok=True
    )


# A copy in a saved folder is registered by transformers itself and must not displace this one.
if __name__ == "students.pruned_bert":
    register()
