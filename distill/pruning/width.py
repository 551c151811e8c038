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

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

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
class Width:
    """What dimensions are worth, or which of them are kept (``True``)."""

    hidden: Tensor  # (D,)
    #: (P,), of worth zeros where nothing reads the pooler; ``None`` where there is none
    pooled: Tensor | None

    def keep(self, count: int) -> Width:
        """The best ``count`` of each kind."""
        share = 1.0 - count / self.hidden.numel()
        pooled = None if self.pooled is None else keep_best(self.pooled, share)
        return Width(keep_best(self.hidden, share), pooled)

    def check(self, model: PreTrainedModel) -> None:
        """Compare with a model; a ModelError for another width, or unlike numbers that are kept."""
        width, left = int(model.config.hidden_size), int(self.hidden.sum())
        wanted = [width, width] if _is_pooled(model) else [width]
        found = [mask.numel() for mask in (self.hidden, self.pooled) if mask is not None]
        if found != wanted:
            raise ModelError(f"masks of the width are for {found}, the model has {wanted}")
        if not left or (self.pooled is not None and int(self.pooled.sum()) != left):
            raise ModelError("masks of the width keep nothing, or not as much of the pooler")


def width_scores(
    model: PreTrainedModel, *, loss_of: LossOf, batches: Iterable[Batch], samples: int
) -> Width:
    """Judge every hidden dimension and every output of the pooler, in eval mode.

    Arguments and errors are those of :func:`distill.pruning.mask_gradients.mask_gradients`.
    """
    layer_sizes(model)  # raises for another family
    slopes = gathered(
        model,
        [int(model.config.hidden_size)] * (2 if _is_pooled(model) else 1),
        lambda factors: _times_width(model, *factors),
        loss_of=loss_of,
        batches=batches,
        samples=samples,
    )
    # A sentence encoder has a pooler that its vectors do not come from: worth nothing.
    hidden, *pooled = (part.square().sum(0) for part in slopes)
    return Width(hidden, pooled[0] if pooled else None)


def slice_width(model: PreTrainedModel, kept: Width) -> PreTrainedModel:
    """Cut hidden dimensions out of every tensor that has them; the given model is left as it is.

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


def _space(model: PreTrainedModel, module: str, dimension: int, kept: Width) -> Tensor:
    """The mask of a side that is as wide as the hidden states: theirs, or the pooler's."""
    family = anatomy(model).family
    reads_pooled = module == family.classifier or (
        module.endswith(("pooler.dense", family.dense)) and dimension == 0
    )
    return kept.pooled if reads_pooled and kept.pooled is not None else kept.hidden


def _is_pooled(model: PreTrainedModel) -> bool:
    """Whether one vector of a text has dimensions of its own, in a pooler or in the head."""
    if getattr(model.base_model, "pooler", None) is not None:
        return True
    return head_of(model) == "classification"


@contextmanager
def _times_width(
    model: PreTrainedModel, hidden: Tensor, pooled: Tensor | None = None
) -> Iterator[None]:
    """While the block lasts, dimensions are multiplied by factors, each (B, D)."""
    parts, pooler = anatomy(model), getattr(model.base_model, "pooler", None)
    # What writes the first hidden states.
    first = parts.projection or cast(nn.Module, parts.embeddings.LayerNorm)
    norms = (norm for layer in parts.parts for norm in (layer.out_norm, layer.down_norm))
    with ExitStack() as stack:
        for writer in (first, *norms):
            stack.callback(writer.register_forward_hook(_times(hidden[:, None, :])).remove)
        if pooled is not None and pooler is not None:
            stack.callback(pooler.register_forward_hook(_times(pooled)).remove)
        elif pooled is not None:
            times = _times(pooled)
            hook = last_linear(model).register_forward_pre_hook(
                lambda module, inputs: (times(module, inputs, inputs[0]),)
            )
            stack.callback(hook.remove)
        yield


def _times(factors: Tensor) -> Any:
    def hook(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        return output * factors.to(device=output.device, dtype=output.dtype)

    return hook
