"""Means over the batch of several processes: one function for every loss that is a mean.

In a training on several devices each process (rank) sees its part of a batch, and the gradients
are averaged over the processes. The mean of the parts' means is not the mean over the batch where
the parts have different numbers of tokens or rows; what is returned here is scaled so that it is.
With one process nothing is exchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def world_size() -> int:
    """How many processes train together, this one included."""
    joined = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if joined else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


def several() -> bool:
    """Whether this process trains together with others."""
    return world_size() > 1


def shared(value: Tensor) -> Tensor:
    """The mean of a tensor over the processes: the same on each of them, without a gradient.

    Every process must call it, in the same order and with the same shape.
    """
    if not several():
        return value
    total = value.detach().clone()
    if not total.is_floating_point():
        total = total.float()
    distributed.all_reduce(total)
    return total / world_size()


def weighted_mean(total: Tensor, count: Tensor) -> Tensor:
    r"""``total / count``, or with several processes this one's share of the mean over all.

    The share of process r is :math:`S_r / (\sum_k C_k / W)`, of the sum and count (less than 1 in
    all counts as 1) over its part: its average over the W processes is :math:`\sum S / \sum C`, and
    so is the average of its gradients.
    """
    if not several():
        return total / count.clamp(min=1)
    return total / shared(count).clamp(min=1 / world_size())


def mean(values: Tensor) -> Tensor:
    """The mean over all elements, or this process's share of it; see :func:`weighted_mean`."""
    if not several():
        return values.mean()
    return weighted_mean(values.sum(), torch.tensor(float(values.numel()), device=values.device))
