"""What an encoder costs, told from the numbers of heads and neurons in its layers.

Legend: L length, D hidden, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from distill.pruning.masks import encoder_layers, head_dim, layer_sizes
from distill.pruning.search import Counts


@dataclass(frozen=True)
class LinearCost:
    """A cost that each head and each neuron adds the same to, in whatever layer.

    Args:
        head: cost of a head.
        neuron: cost of a neuron.
        fixed: what is left when every layer is empty.
    """

    head: float
    neuron: float
    fixed: float = 0.0

    def __call__(self, heads: Counts, ffn: Counts) -> float:
        """The cost of an encoder with so many heads and neurons in each layer."""
        return self.fixed + self.head * float(heads.sum()) + self.neuron * float(ffn.sum())


def macs_cost(model: PreTrainedModel, length: int) -> LinearCost:
    r"""Multiply-accumulates of the encoder for one example of L tokens.

    A head: :math:`4 L D d` in its projections and :math:`2 L^2 d` in attention; a neuron:
    :math:`2 L D`. The counting is that of :func:`distill.evaluation.cost.macs`, without the head
    of the model.
    """
    hidden, width = int(model.config.hidden_size), head_dim(model)
    return LinearCost(
        head=4.0 * length * hidden * width + 2.0 * length * length * width,
        neuron=2.0 * length * hidden,
    )


def parameters_cost(model: PreTrainedModel) -> LinearCost:
    """Parameters of the encoder's layers: no embeddings, no pooler, no head of the model."""
    hidden, width = int(model.config.hidden_size), head_dim(model)
    head, neuron = 4.0 * hidden * width + 3.0 * width, 2.0 * hidden + 1.0
    heads, ffn = layer_sizes(model)
    total = sum(
        parameter.numel() for parameter in nn.ModuleList(encoder_layers(model)).parameters()
    )
    return LinearCost(head, neuron, fixed=total - head * sum(heads) - neuron * sum(ffn))
