r"""Pruning without training: the Fisher information of mask variables.

Every head and every neuron gets a factor m = 1 on its output. Were the model at a minimum of the
loss, taking the units of a set P away would raise it by about

.. math:: \tfrac12 \sum_{i,j \in P} I_{ij}, \qquad I = \sum_n g_n g_n^\top,
          \quad g_n = \partial L_n / \partial m

with the gradients of N examples one by one. The search over masks takes the diagonal of I, and
the rearrangement its blocks of one layer.

Legend: N examples, B batch, L length, H heads, d head size, F neurons.

Reference: Kwon et al. 2022, A Fast Post-Training Pruning Framework for Transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from distill.data.batches import to_device
from distill.pruning.masks import Masks, head_dim, layer_sizes
from distill.pruning.search import Scores
from distill.system.console import Bar
from distill.system.errors import DataError, ModelError
from distill.training.base import Batch, LossOf
from students.anatomy import anatomy


@dataclass(frozen=True, eq=False)
class MaskGradients:
    """The gradient of each example's loss by the factor of each unit: per layer (N, H), (N, F)."""

    heads: list[torch.Tensor]
    ffn: list[torch.Tensor]

    def diagonal(self) -> Scores:
        """The diagonal of the Fisher information: what each unit alone is worth."""
        return Scores(*([g.square().sum(0) for g in part] for part in (self.heads, self.ffn)))


def mask_gradients(
    model: PreTrainedModel, *, loss_of: LossOf, batches: Iterable[Batch], samples: int
) -> MaskGradients:
    """Gradients of the loss by mask variables, example by example, in eval mode.

    One backward pass gives those of a whole batch, because every example has a copy of the
    variables of its own.

    Args:
        model: stock or pruned; left as it is.
        loss_of: the mean over the batch of a loss that each example has by itself.
        batches: batches with ``input_ids`` (B, L) and what ``loss_of`` needs; may be without end.
        samples: N, rounded up to whole batches; fewer where there are fewer.

    Raises:
        DataError: there are no batches.
        ModelError: there are no heads and neurons left, or a gradient is not a number.
    """
    heads, ffn = layer_sizes(model)
    if not sum(heads) + sum(ffn):
        raise ModelError("the model has no heads and no neurons left to prune")
    count = len(heads)
    joined = gathered(
        model,
        [*heads, *ffn],
        lambda masks: times_masks(model, masks[:count], masks[count:]),
        loss_of=loss_of,
        batches=batches,
        samples=samples,
    )
    return MaskGradients(joined[:count], joined[count:])


def gathered(
    model: PreTrainedModel,
    sizes: list[int],
    applied: Callable[[list[torch.Tensor]], AbstractContextManager[Any]],
    *,
    loss_of: LossOf,
    batches: Iterable[Batch],
    samples: int,
) -> list[torch.Tensor]:
    """Gradients by factors of 1, of each example by itself; see :func:`mask_gradients`.

    ``applied`` lets the model compute with tensors of factors, each (B, size), while it lasts.

    Returns:
        For each of the sizes (N, size); zeros where the loss does not depend on the factors.
    """
    found: list[list[torch.Tensor]] = []
    seen = 0
    with frozen(model), Bar("Fisher information", samples) as bar:
        for batch in batches:
            if seen >= samples:
                break
            count = len(batch["input_ids"])
            masks = [torch.ones(count, n, device=model.device, requires_grad=True) for n in sizes]
            with applied(masks):
                # The mean's gradient is 1/B of that of the example itself.
                loss = loss_of(model, to_device(batch, model.device)) * count
            slopes = torch.autograd.grad(loss, masks, allow_unused=True, materialize_grads=True)
            found.append([slope.cpu() for slope in slopes])
            seen += count
            bar.advance(count)
    if not found:
        raise DataError("no batches to judge parts of the model with")
    joined = [torch.cat(parts) for parts in zip(*found, strict=True)]
    if not all(bool(part.isfinite().all()) for part in joined):
        raise ModelError("gradients of the model's parts are not numbers; did training diverge?")
    return joined


@contextmanager
def times_masks(
    model: PreTrainedModel, heads: list[torch.Tensor], ffn: list[torch.Tensor]
) -> Iterator[None]:
    """While the block lasts, the outputs of heads and neurons are multiplied by factors.

    The factors are per layer (B, H) and (B, F), or (H,) and (F,) for all examples; a bool mask is
    as good.
    """
    with ExitStack() as stack:
        for layer, own, neurons in zip(anatomy(model).parts, heads, ffn, strict=True):
            for dense, mask, width in (
                (layer.out, own, head_dim(model)),
                (layer.down, neurons, 1),
            ):
                stack.callback(dense.register_forward_pre_hook(_times(mask, width)).remove)
        yield


def _times(mask: torch.Tensor, width: int) -> Any:
    def hook(_: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        factors = mask.repeat_interleave(width, dim=-1)[..., None, :]  # (B, 1, H*d) or (B, 1, F)
        return (inputs[0] * factors.to(inputs[0]),)

    return hook


@contextmanager
def frozen(model: PreTrainedModel, but: Iterable[torch.Tensor] = ()) -> Iterator[None]:
    """Eval mode, and no gradients of weights but some: they are most of the work."""
    training, wanted = model.training, {id(weight) for weight in but}
    before = [(weight, weight.requires_grad) for weight in model.parameters()]
    model.eval()
    for weight, _ in before:
        weight.requires_grad_(id(weight) in wanted)
    try:
        yield
    finally:
        for weight, needed in before:
            weight.requires_grad_(needed)
        model.train(training)


def rearrange(masks: Masks, gradients: MaskGradients) -> Masks:
    r"""Swap units within each layer so that the removed ones matter less together.

    The diagonal takes units for independent of each other. With the layer's block of the Fisher
    information, what is lost is :math:`(1-m)^\top I (1-m)`. Unit by unit, from the least important
    of the kept, one is removed and of all removed the one put back whose return helps most. The
    number of units in a layer stays, and what is lost never grows.

    Reference:
        Kwon et al. 2022, section 4.2.
    """
    return Masks(
        heads=[_swap(m, g) for m, g in zip(masks.heads, gradients.heads, strict=True)],
        ffn=[_swap(m, g) for m, g in zip(masks.ffn, gradients.ffn, strict=True)],
    )


def _swap(mask: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    if bool(mask.all()) or not bool(mask.any()):
        return mask
    block = gradients.double().T @ gradients.double()  # (F, F)
    worth = block.diagonal()
    removed = ~mask
    total = block[removed].sum(0)  # (F,): what each unit has in common with the removed ones
    order = torch.argsort(worth, stable=True)
    for unit in order[mask[order]].tolist():
        removed[unit] = True
        total += block[unit]
        # Putting j back changes the loss by I_jj - 2 (I p)_j with p the removed ones, j included.
        change = (worth - 2 * total).masked_fill(~removed, torch.inf)
        back = int(change.argmin())
        removed[back] = False
        total -= block[back]
    return ~removed
