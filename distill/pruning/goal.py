"""What is left of a model: shares or a budget, reached at once or step by step.

Legend: L length, D hidden, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel

from distill.pruning.masks import Masks, head_dim, layer_sizes
from distill.pruning.search import (
    Cost,
    Counts,
    Scores,
    keep_counts,
    keep_within,
    left_of,
    on_one_scale,
)
from students.anatomy import anatomy


def progress(schedule: str, done: int, rounds: int) -> float:
    r"""The part of the removal that is done after so many rounds, 0 to 1.

    ``linear``: :math:`r/n`; ``agp``: :math:`1 - (1 - r/n)^3`, most of it while there is much to
    choose from. These are the formulas of NNI's ``LinearPruner`` and ``AGPPruner``.

    Reference:
        Zhu and Gupta 2017, To prune, or not to prune, equation 1.
    """
    part = done / rounds
    return 1.0 - (1.0 - part) ** 3 if schedule == "agp" else part


@dataclass(frozen=True)
class ShareGoal:
    """Remove shares of the heads and neurons there were at the beginning.

    Args:
        sizes: heads and neurons of every layer then.
        uniform: of every layer, or of all together.
    """

    sizes: tuple[list[int], list[int]]
    heads: float
    ffn: float
    uniform: bool

    def masks(self, scores: Scores, part: float) -> Masks:
        """What is kept when ``part`` of what the goal removes is gone."""
        heads, ffn = (
            left_of(sizes, share * part, uniform=self.uniform)
            for sizes, share in zip(self.sizes, (self.heads, self.ffn), strict=True)
        )
        return keep_counts(scores, heads=heads, ffn=ffn)


@dataclass(frozen=True)
class BudgetGoal:
    """Keep what matters most within a budget.

    Args:
        sizes: heads and neurons of every layer at the beginning.
        cost: what a model of given sizes costs.
        budget: the most it may cost in the end.
        uniform: leave every layer the same size.
        ranked: whether the scores only rank units of a kind within a layer (``l1``,
            ``movement``), and do not say what a head is worth in neurons.
    """

    sizes: tuple[list[int], list[int]]
    cost: Cost
    budget: float
    uniform: bool
    ranked: bool

    @property
    def whole(self) -> float:
        """What the model costs at the beginning."""
        return self.cost(*map(np.asarray, self.sizes))

    def masks(self, scores: Scores, part: float) -> Masks:
        if self.ranked:
            heads, ffn = map(np.asarray, self.sizes)
            head = (self.whole - self.cost(0 * heads, ffn)) / max(1, int(heads.sum()))
            neuron = (self.whole - self.cost(heads, 0 * ffn)) / max(1, int(ffn.sum()))
            scores = on_one_scale(scores, head=head, neuron=neuron)
        budget = self.whole - part * max(0.0, self.whole - self.budget)
        return keep_within(scores, cost=self.cost, budget=budget, uniform=self.uniform)


#: Chooses what is kept of a model, which may have gone part of the way already.
Goal = ShareGoal | BudgetGoal


@dataclass(frozen=True)
class LinearCost:
    """A cost that each head and each neuron adds the same to, in whatever layer.

    ``fixed`` is what is left when every layer is empty.
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
    total = sum(parameter.numel() for parameter in anatomy(model).layers.parameters())
    return LinearCost(head, neuron, fixed=total - head * sum(heads) - neuron * sum(ffn))
