r"""Hidden width: dimensions of the residual stream removed everywhere at once.

A dimension of the hidden states runs through the whole model: embeddings, every LayerNorm, the
columns of what reads them and the rows of what writes them. The pooler's outputs are a space of
their own and are judged and cut by themselves, down to the same number, so that the model keeps
its form; so are those of the dense layer that RoBERTa has in the head instead. Heads keep their
width and neurons their number.

Heads and neurons are summands, so that leaving them out is the same as cutting them out. A hidden
dimension is not: LayerNorm takes mean and variance over all of them, and without some it divides by
other numbers. So what is computed after the cut is, up to rounding, the model in which every
LayerNorm looks at the kept dimensions alone, and not the model with zeros in the others. The
difference is what ``recover`` is there to fix.

A dimension is worth its Fisher information: that of a factor m = 1 on it behind every LayerNorm,

.. math:: I_d = \sum_n (\partial L_n / \partial m_d)^2.

Reference: Kwon et al. 2022, section 4.1 (the information of masks); Muralidharan et al. 2024,
Compact Language Models via Pruning and Knowledge Distillation, section 2 (cutting the width).

Legend: N examples, B batch, L length, D hidden width, K of them kept, P outputs of the pooler.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.pruning.mask_gradients import gathered
from distill.pruning.masks import keep_best, layer_sizes
from distill.pruning.surgery import config_of_sizes, rebuilt
from distill.system.errors import ModelError
from distill.training.base import Batch, LossOf
from students.anatomy import anatomy
from students.from_teacher import axes_of
from students.heads import head_of, last_linear


@dataclass(frozen=True, eq=False)
class KeptWidth:
    """What is kept of the width; ``True`` keeps.

    Args:
        hidden: bool (D,).
        pooled: bool (P,); ``None`` where there is no pooler.
    """

    hidden: Tensor
    pooled: Tensor | None

    def check(self, model: PreTrainedModel) -> None:
        """Compare the masks with a model.

        Raises:
            ModelError: they are of another width, keep different numbers, or nothing.
        """
        width, left = int(model.config.hidden_size), int(self.hidden.sum())
        wanted = [width, width] if _is_pooled(model) else [width]
        found = [mask.numel() for mask in (self.hidden, self.pooled) if mask is not None]
        if found != wanted:
            raise ModelError(f"masks of the width are for {found}, the model has {wanted}")
        if not left or (self.pooled is not None and int(self.pooled.sum()) != left):
            raise ModelError("masks of the width keep nothing, or not as much of the pooler")


@dataclass(frozen=True, eq=False)
class WidthScores:
    """What dimensions are worth.

    Args:
        hidden: (D,).
        pooled: (P,), zeros where nothing reads the pooler; ``None`` where there is none.
    """

    hidden: Tensor
    pooled: Tensor | None

    def keep(self, count: int) -> KeptWidth:
        """The best ``count`` of each kind."""
        share = 1.0 - count / self.hidden.numel()
        pooled = None if self.pooled is None else keep_best(self.pooled, share)
        return KeptWidth(keep_best(self.hidden, share), pooled)


def width_scores(
    model: PreTrainedModel, *, loss_of: LossOf, batches: Iterable[Batch], samples: int
) -> WidthScores:
    """Judge every hidden dimension and every output of the pooler, in eval mode.

    Args:
        model: a BERT, stock or pruned; left as it is.
        loss_of: ``loss_of(model, batch)``: the mean over the batch of a loss that each example has
            by itself.
        batches: batches with ``input_ids`` (B, L) and what ``loss_of`` needs; may be without end.
        samples: examples that are used, rounded up to whole batches.

    Raises:
        DataError: there are no batches.
        ModelError: the model is not a BERT, or a gradient is not a number.
    """
    layer_sizes(model)  # raises for another family
    width, places = int(model.config.hidden_size), 2 if _is_pooled(model) else 1

    def of_batch(batch: Batch) -> list[Tensor]:
        rows = len(batch["input_ids"])
        masks = [
            torch.ones(rows, width, device=model.device, requires_grad=True) for _ in range(places)
        ]  # each (B, D): every example has factors of its own
        with ExitStack() as stack:
            for writer in (*_norms(model), *_projection(model)):
                stack.callback(writer.register_forward_hook(_times(masks[0][:, None, :])).remove)
            if places == 2:
                stack.callback(_times_pooled(model, masks[1]).remove)
            loss = loss_of(model, batch) * rows
            # A sentence encoder has a pooler that its vectors do not come from: worth nothing.
            slopes = torch.autograd.grad(loss, masks, allow_unused=True, materialize_grads=True)
            return [slope.cpu() for slope in slopes]

    worth = [
        part.square().sum(0) for part in gathered(model, of_batch, batches=batches, samples=samples)
    ]
    return WidthScores(worth[0], worth[1] if places == 2 else None)


def slice_width(model: PreTrainedModel, kept: KeptWidth) -> PreTrainedModel:
    """Cut hidden dimensions out of every tensor that has them.

    Args:
        model: a BERT, stock or pruned; left as it is.
        kept: what stays.

    Returns:
        A stock model where every layer has the same sizes and its heads are together as wide as
        what is kept; otherwise one of :mod:`students.pruned` whose heads are together wider or
        narrower.

    Raises:
        ModelError: the masks do not fit the model, or its class cannot be pruned.
    """
    kept.check(model)
    heads, ffn = layer_sizes(model)
    config = config_of_sizes(model, heads=heads, ffn=ffn, hidden=int(kept.hidden.sum()))
    weights = {}
    for name, tensor in model.state_dict().items():
        module = name.rpartition(".")[0]
        weight = tensor.detach().clone()
        for dimension, axis in enumerate(axes_of(model, module)[: weight.dim()]):
            if axis == "hidden":
                keep = _space(model, module, dimension, kept).to(weight.device)
                weight = weight.index_select(dimension, keep.nonzero().flatten())
        weights[name] = weight
    return rebuilt(model, config, weights)


def _space(model: PreTrainedModel, module: str, dimension: int, kept: KeptWidth) -> Tensor:
    """The mask of a side that is as wide as the hidden states: theirs, or the pooler's."""
    family = anatomy(model).family
    reads_pooled = module == family.classifier or (
        module.endswith(("pooler.dense", family.dense)) and dimension == 0
    )
    return kept.pooled if reads_pooled and kept.pooled is not None else kept.hidden


def _norms(model: PreTrainedModel) -> list[nn.Module]:
    parts = anatomy(model)
    first = [] if parts.projection else [cast(nn.Module, parts.embeddings.LayerNorm)]
    return [*first, *(norm for layer in parts.parts for norm in (layer.out_norm, layer.down_norm))]


def _projection(model: PreTrainedModel) -> list[nn.Module]:
    """What writes the first hidden states where no LayerNorm does."""
    projection = anatomy(model).projection
    return [] if projection is None else [projection]


def _is_pooled(model: PreTrainedModel) -> bool:
    """Whether one vector of a text has dimensions of its own, in a pooler or in the head."""
    if getattr(model.base_model, "pooler", None) is not None:
        return True
    return head_of(model) == "classification"


def _times_pooled(model: PreTrainedModel, factors: Tensor) -> Any:
    """Multiply those dimensions until the handle is removed."""
    pooler = getattr(model.base_model, "pooler", None)
    if pooler is not None:
        return pooler.register_forward_hook(_times(factors))
    times = _times(factors)
    return last_linear(model).register_forward_pre_hook(
        lambda module, inputs: (times(module, inputs, inputs[0]),)
    )


def _times(factors: Tensor) -> Any:
    def hook(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        return output * factors.to(device=output.device, dtype=output.dtype)

    return hook
