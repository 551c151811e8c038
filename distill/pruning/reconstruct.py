r"""Repairing a pruned model without training: least squares, layer by layer.

Behind the kept heads (and again the kept neurons) of a layer stands a Linear layer. Its weights
are fitted so that, with the inputs that the pruned layers below really give, the residual stream
comes out as in the unpruned model:

.. math:: \min_{W'} \sum_t \| W' x_t + b' + h_t - (W \hat x_t + b + \hat h_t) \|^2
          + \lambda \| W' - W \|^2

with x the outputs of the kept units, h the residual stream, and hats for the unpruned model.
``scale`` fits one factor for each unit, folded into the weights; ``weights`` fits all of W' and b'.

Legend: B batch, L length, D hidden, T tokens of all batches, K features of the kept units.

Reference: Kwon et al. 2022, section 4.3 (one factor for each unit).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from distill.pruning.masks import head_dim
from distill.system.console import Bar
from distill.system.errors import DataError, ModelError
from distill.training.base import Batch
from students.anatomy import Layer, anatomy, inputs_of

How = Literal["scale", "weights"]

#: Tokens that a fit sees at least, where there are so many: ten for each weight's input at 1,536.
TOKENS = 16_384
#: Lambda in units of the mean square of an input (or of a unit's contribution).
RIDGE = 0.01


@dataclass
class _Rows:
    """One batch on its way through both models."""

    real: torch.Tensor  # (B, L), True at tokens
    bias: torch.Tensor  # (B, 1, 1, L), added to attention scores
    ours: torch.Tensor  # (B, L, D), the pruned model's residual stream
    theirs: torch.Tensor  # (B, L, D), the unpruned model's


@torch.no_grad()
def reconstruct(
    pruned: PreTrainedModel,
    original: PreTrainedModel,
    batches: Iterable[Batch],
    *,
    how: How = "weights",
) -> None:
    """Fit the Linear layers behind heads and neurons of ``pruned``, in place, to ``original``.

    Both are put into eval mode. Batches, with ``input_ids`` and ``attention_mask`` (B, L), may be
    without end. ``how`` is ``scale`` or ``weights``, see above.

    Raises:
        DataError: there are no batches.
        ModelError: the two have different depths.
    """
    ours, theirs = anatomy(pruned.eval()).parts, anatomy(original.eval()).parts
    if len(ours) != len(theirs):
        raise ModelError(f"a model of {len(ours)} layers cannot be fitted to {len(theirs)}")
    rows = _embedded(pruned, original, batches)
    if not rows:
        raise DataError("no batches to fit the pruned layers with")
    with Bar("fitting what is left", len(ours)) as bar:
        for layer, reference in zip(ours, theirs, strict=True):
            _fit_layer(layer, reference, rows, width=head_dim(pruned), how=how)
            bar.advance()


def _embedded(
    pruned: PreTrainedModel, original: PreTrainedModel, batches: Iterable[Batch]
) -> list[_Rows]:
    found: list[_Rows] = []
    seen = 0
    for batch in batches:
        if seen >= TOKENS:
            break
        given = {k: tensor.to(pruned.device) for k, tensor in inputs_of(pruned, batch).items()}
        real = batch["attention_mask"].to(pruned.device).bool()  # (B, L)
        bias = torch.zeros(real.shape, device=pruned.device, dtype=pruned.dtype)
        bias = bias.masked_fill(~real, torch.finfo(pruned.dtype).min)[:, None, None, :]
        ours, theirs = (anatomy(model).embed(given) for model in (pruned, original))
        found.append(_Rows(real, bias, ours, theirs))
        seen += int(real.sum())
    return found


def _fit_layer(layer: Layer, reference: Layer, rows: list[_Rows], *, width: int, how: How) -> None:
    """Fit both halves of a layer and take every batch through it."""
    seen, wanted = [], []
    for row in rows:
        seen.append((layer.context(row.ours, row.ours, row.bias), row))  # (B, L, K)
        context = reference.context(row.theirs, row.theirs, row.bias)  # (B, L, K^)
        # What the block has to add, (B, L, D).
        wanted.append(reference.out(context) + row.theirs - row.ours)
        row.theirs = reference.attended(context, row.theirs)  # (B, L, D)
    _fit(layer.out, seen, wanted, width=width, how=how)
    for context, row in seen:
        row.ours = layer.attended(context, row.ours)  # (B, L, D)
    seen, wanted = [], []
    for row in rows:
        seen.append((layer.neurons(row.ours), row))
        neurons = reference.neurons(row.theirs)  # (B, L, F^)
        wanted.append(reference.down(neurons) + row.theirs - row.ours)
        row.theirs = reference.output(neurons, row.theirs)
    _fit(layer.down, seen, wanted, width=1, how=how)
    for neurons, row in seen:
        row.ours = layer.output(neurons, row.ours)


def _fit(
    dense: nn.Linear,
    seen: list[tuple[torch.Tensor, _Rows]],
    wanted: list[torch.Tensor],
    *,
    width: int,
    how: How,
) -> None:
    features = dense.in_features
    square = torch.zeros(features + 1, features + 1, dtype=torch.float64)
    product = torch.zeros(features + 1, dense.out_features, dtype=torch.float64)
    for (inputs, row), target in zip(seen, wanted, strict=True):
        y = target[row.real]  # (T, D)
        x = torch.cat([inputs[row.real], torch.ones_like(y[:, :1])], dim=1)  # (T, K+1)
        square += (x.T @ x).double().cpu()
        product += (x.T @ y).double().cpu()
    weight, bias = dense.weight.double().cpu().T, dense.bias.double().cpu()  # (K, D), (D,)
    if how == "weights":
        weight, bias = _all_weights(square, product, weight, bias)
    elif features:
        product = product[:-1] - square[:-1, -1:] * bias
        weight = weight * _factors(square[:-1, :-1], product, weight, width)[:, None]
    if bool(weight.isfinite().all()) and bool(bias.isfinite().all()):
        dense.weight.copy_(weight.T)
        dense.bias.copy_(bias)


def _all_weights(
    square: torch.Tensor, product: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ridge regression towards the weights there are; the bias is free."""
    ridge = torch.full((len(square),), RIDGE * float(square.diagonal()[:-1].mean().nan_to_num()))
    ridge = ridge.double()
    ridge[-1] = 1e-6 * float(square[-1, -1])
    before = torch.cat([weight, bias[None]])  # (K+1, D)
    after = torch.linalg.solve(square + ridge.diag(), product + ridge[:, None] * before)
    return after[:-1], after[-1]


def _factors(
    square: torch.Tensor, product: torch.Tensor, weight: torch.Tensor, width: int
) -> torch.Tensor:
    """One factor for each ``width`` features, repeated for all of them: (K,)."""
    units = len(weight) // width
    # Contributions x_i w_i of two units have the product (x_i . x_j)(w_i . w_j), summed over T.
    shared = (square * (weight @ weight.T)).reshape(units, width, units, width).sum((1, 3))
    aim = (product * weight).sum(1).reshape(units, width).sum(1)
    ridge = RIDGE * float(shared.diagonal().mean()) * torch.eye(units, dtype=torch.float64)
    change: torch.Tensor = torch.linalg.solve(shared + ridge, aim - shared.sum(1))
    return (1.0 + change).repeat_interleave(width)
