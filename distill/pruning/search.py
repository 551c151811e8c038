"""Which heads and neurons are kept, given what each is worth and what all may cost.

Importances add up and costs are told from the numbers of heads and neurons in each layer, so the
best choice is found by ranking: for every number of heads kept, the heads are the most important
ones, what is left of the budget goes to the most important neurons, and of all these choices the
one is taken that loses the least importance.

Reference: Kwon et al. 2022, A Fast Post-Training Pruning Framework for Transformers, section 4.1.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from distill.pruning.masks import Masks, head_dim, keep_first
from distill.system.errors import DataError, ModelError
from distill.training.base import Batch
from students.anatomy import anatomy

Counts = npt.NDArray[np.int64]
#: Heads and neurons of every layer (two integer arrays) to what a model of these sizes costs;
#: never less for more of either.
Cost = Callable[[Counts, Counts], float]


@dataclass(frozen=True, eq=False)
class Scores:
    """Importance of every head (H,) and neuron (F,), per layer; larger matters more."""

    heads: list[torch.Tensor]
    ffn: list[torch.Tensor]


def checked(scores: Scores) -> Scores:
    """The same scores; a ModelError where they are not numbers."""
    if not all(bool(row.isfinite().all()) for row in (*scores.heads, *scores.ffn)):
        raise ModelError("scores of heads and neurons are not numbers; did training diverge?")
    return scores


def first_batches(batches: Iterable[Batch], steps: int) -> list[Batch]:
    """The first batches, or all where there are fewer; a DataError where there are none."""
    chosen = list(itertools.islice(batches, steps))
    if not chosen:
        raise DataError("no batches to judge parts of the model with")
    return chosen


def incoming_weights(model: PreTrainedModel) -> list[tuple[list[Tensor], Tensor]]:
    """Per layer the weights of query, key and value, (H*d, D), and of the neurons, (F, D)."""
    found = []
    for layer in anatomy(model).parts:
        parts = [layer.query.weight, layer.key.weight, layer.value.weight]
        found.append((parts, layer.up.weight))
    return found


def by_rows(model: PreTrainedModel, worth: Callable[[Tensor], Tensor]) -> Scores:
    """Scores of heads (over query, key and value together) and neurons from single weights.

    ``worth`` says what each number of one of :func:`incoming_weights` is worth.
    """
    heads, ffn, width = [], [], head_dim(model)
    for attention, neurons in incoming_weights(model):
        rows = sum(worth(weight).sum(1) for weight in attention)  # (H*d,)
        heads.append(torch.as_tensor(rows).reshape(-1, width).sum(1).cpu())
        ffn.append(worth(neurons).sum(1).cpu())
    return checked(Scores(heads, ffn))


def keep_counts(rows: Sequence[Tensor], kept: list[int] | int) -> list[Tensor]:
    """Masks of the best units: so many of every layer, or of all layers together."""
    if isinstance(kept, int):
        return list(keep_first(torch.cat(list(rows)), kept).split([row.numel() for row in rows]))
    return [keep_first(row, count) for row, count in zip(rows, kept, strict=True)]


def left_of(sizes: Sequence[int], share: float, *, uniform: bool) -> list[int] | int:
    """How many units are left when a share of them is removed.

    ``uniform`` counts every layer, leaving each at least one; otherwise it is all layers together.
    """
    if uniform:
        return [min(size, max(1, round(size * (1.0 - share)))) for size in sizes]
    return min(sum(sizes), max(1, round(sum(sizes) * (1.0 - share))))


def keep_within(scores: Scores, *, cost: Cost, budget: float, uniform: bool = False) -> Masks:
    """Keep what matters most, of importances on one scale, within a budget.

    ``uniform`` leaves every layer the same numbers of heads and neurons, at least one of each.

    Raises:
        ModelError: the budget cannot be met.
    """
    heads, ffn = (_Ranked(rows, uniform=uniform) for rows in (scores.heads, scores.ffn))
    best: tuple[float, int, int] | None = None
    for kept_heads in range(heads.most, heads.fewest - 1, -1):
        at = heads.counts[kept_heads]
        kept_ffn = _largest(ffn, partial(_fits, cost, budget, at))
        if kept_ffn is None:
            continue
        lost = float(heads.lost[kept_heads] + ffn.lost[kept_ffn])
        if best is None or lost < best[0]:
            best = (lost, kept_heads, kept_ffn)
    if best is None:
        least = cost(heads.counts[heads.fewest], ffn.counts[ffn.fewest])
        raise ModelError(
            f"the budget of {budget:.4g} cannot be met by removing heads and neurons: the smallest "
            f"encoder costs {least:.4g}; allow more, or remove layers (method: depth)"
        )
    return Masks(heads.masks(best[1]), ffn.masks(best[2]))


class _Ranked:
    """Units of all layers from the most important to the least, and what the first n of them are.

    With ``uniform`` the n-th step is that of every layer together: n units in each.

    Attributes:
        counts: (most + 1, layers): how many of each layer are among the first n.
        lost: (most + 1,): importance of those that are not.
    """

    def __init__(self, rows: Sequence[torch.Tensor], *, uniform: bool) -> None:
        self.rows = [row.detach().to("cpu", torch.float64) for row in rows]
        self.uniform = uniform
        sizes = [row.numel() for row in rows]
        total = float(sum(row.sum() for row in self.rows))
        if uniform:
            self.fewest, self.most = min(1, *sizes), min(sizes)
            gained = torch.stack(
                [row.sort(descending=True).values[: self.most] for row in self.rows]
            ).sum(0)
            self.counts = np.repeat(np.arange(self.most + 1)[:, None], len(rows), axis=1)
        else:
            self.fewest, self.most = 0, sum(sizes)
            flat = torch.cat(self.rows)
            order = torch.argsort(flat, descending=True, stable=True)
            layer = np.repeat(np.arange(len(rows)), sizes)[order.numpy()]
            steps = np.eye(len(rows), dtype=np.int64)[layer]  # (most, layers)
            self.counts = np.vstack([np.zeros((1, len(rows)), np.int64), steps.cumsum(0)])
            gained = flat[order]
        self.lost = total - np.concatenate([[0.0], gained.cumsum(0).numpy()])

    def masks(self, kept: int) -> list[torch.Tensor]:
        """The masks of the first ``kept``."""
        return keep_counts(self.rows, [kept] * len(self.rows) if self.uniform else kept)


def _fits(cost: Cost, budget: float, heads: Counts, ffn: Counts) -> bool:
    # Sums of floats may differ in the last places from the budget that was told from them.
    return cost(heads, ffn) <= budget * (1 + 1e-9)


def _largest(ranked: _Ranked, fits: Callable[[Counts], bool]) -> int | None:
    """The largest number of units that fits; ``None`` where the fewest do not."""
    numbers = range(ranked.fewest, ranked.most + 1)
    fitting = bisect_left(numbers, True, key=lambda number: not fits(ranked.counts[number]))
    return numbers[fitting - 1] if fitting else None


def on_one_scale(scores: Scores, *, head: float, neuron: float) -> Scores:
    """Make scores comparable that only rank the units of one kind within one layer.

    Every layer's scores are divided by their mean and multiplied by what one unit costs, so that
    in every layer and of either kind the average unit is worth what it costs.
    """

    def scaled(row: torch.Tensor, cost: float) -> torch.Tensor:
        mean = float(row.mean()) if row.numel() else 0.0
        return row * (cost / mean) if mean > 0 else torch.full_like(row, cost)

    return Scores(
        heads=[scaled(row, head) for row in scores.heads],
        ffn=[scaled(row, neuron) for row in scores.ffn],
    )
