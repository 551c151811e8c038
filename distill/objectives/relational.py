"""Matching how sentences stand to each other: distances, angles, and their order.

Legend: B batch, D width of the teacher's vectors, d of the student's.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.objectives.base import full
from distill.objectives.vectors import VectorComparison
from distill.recipe.schema import WeightSchedule
from distill.recipe.schema.objectives import OrderObjective, RelationalObjective
from distill.system import distributed

#: Squared distances below it count as it: a root has no gradient at 0.
_LEAST = 1e-12


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean over pairs of :math:`h(d^s_{ij} - d^t_{ij})`, in fp32; 0 for one sentence.

    :math:`d_{ij} = \|x_i - x_j\| / \mu` with the mean distance :math:`\mu` of the batch, and h
    Huber's loss with :math:`\delta = 1`.

    Args:
        student: vectors, (B, d).
        teacher: vectors of the same sentences, (B, D).

    Reference:
        Park et al. 2019, Relational Knowledge Distillation (distance-wise).
    """
    others = _apart(len(student), student)  # (B, B)
    losses = F.smooth_l1_loss(_distances(student), _distances(teacher), reduction="none")
    return distributed.weighted_mean((losses * others).sum(), others.sum())


def _distances(vectors: Tensor) -> Tensor:
    """Distances in units of their mean, (B, B)."""
    differences = full(vectors)[:, None] - full(vectors)[None]  # (B, B, D)
    distances = differences.square().sum(dim=-1).clamp(min=_LEAST).sqrt()
    others = _apart(len(vectors), distances)
    mean = (distances * others).sum() / others.sum().clamp(min=1)
    return distances / mean.clamp(min=_LEAST)


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean over triplets of :math:`h(\cos^s_{ijk} - \cos^t_{ijk})`, in fp32; 0 below three.

    :math:`\cos_{ijk}` is that of the angle at :math:`x_j` between :math:`x_i` and :math:`x_k`, and
    h Huber's loss with :math:`\delta = 1`. Takes memory of B x B x D numbers.

    Args:
        student: vectors, (B, d).
        teacher: vectors of the same sentences, (B, D).

    Reference:
        Park et al. 2019, Relational Knowledge Distillation (angle-wise).
    """
    triplets = _triplets(len(student), student)  # (B, B, B)
    losses = F.smooth_l1_loss(_angles(student), _angles(teacher), reduction="none")
    return distributed.weighted_mean((losses * triplets).sum(), triplets.sum())


def _angles(vectors: Tensor) -> Tensor:
    """The cosine at j between i and k, (B at j, B at i, B at k)."""
    edges = F.normalize(full(vectors)[None] - full(vectors)[:, None], dim=-1)  # (B, B, D)
    return edges @ edges.transpose(1, 2)


def order_loss(student: Tensor, teacher: Tensor, margin: float = 0.015) -> Tensor:
    r"""Triplets that the student orders otherwise than the teacher, softly counted, in fp32.

    The mean of :math:`\max(0, c^s_{ik} - c^s_{ij} + m)` over triplets with
    :math:`c^t_{ij} > c^t_{ik}`, of which c is the cosine of two sentences and m the margin.

    Args:
        student: vectors, (B, d).
        teacher: vectors of the same sentences, (B, D).
        margin: m.

    Reference:
        Zhang et al. 2024, Jasper and Stella (arXiv 2412.19048), relative similarity distillation;
        there over pairs of pairs.
    """
    units = (F.normalize(full(x), dim=-1) for x in (student, teacher))
    ours, theirs = (unit @ unit.T for unit in units)  # (B, B)
    wrong = (ours[:, None, :] - ours[:, :, None] + margin).clamp(min=0)  # (B, B of j, B of k)
    ordered = theirs[:, :, None] > theirs[:, None, :]
    counted = ordered.to(wrong) * _triplets(len(wrong), wrong)
    return distributed.weighted_mean((wrong * counted).sum(), counted.sum())


def _apart(size: int, like: Tensor) -> Tensor:
    """1 where two of a batch are not the same, (B, B)."""
    return 1.0 - torch.eye(size, device=like.device)


def _triplets(size: int, like: Tensor) -> Tensor:
    """1 where three of a batch are not the same, (B, B, B)."""
    apart = _apart(size, like)
    return apart[:, :, None] * apart[:, None, :] * apart[None]


class RelationalMatch(VectorComparison):
    """Matches distances and angles: see `distance_loss` and `angle_loss`.

    Args:
        distance: factor of the first.
        angle: factor of the second.
        weight: factor in the sum of objectives.
    """

    kind: ClassVar[str] = "relational"
    needs: ClassVar[frozenset[str]] = RelationalObjective.signals

    def __init__(
        self,
        distance: float = 1.0,
        angle: float = 2.0,
        *,
        weight: float | WeightSchedule = 1.0,
    ) -> None:
        super().__init__(weight=weight)
        self.distance, self.angle = distance, angle

    @classmethod
    def of(cls, config: RelationalObjective) -> RelationalMatch:
        """The objective a recipe asks for."""
        return cls(config.distance, config.angle, weight=config.weight)

    def compare_vectors(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :class:`VectorComparison`."""
        parts = {distance_loss: self.distance, angle_loss: self.angle}
        losses = [factor * part(student, teacher) for part, factor in parts.items() if factor]
        return torch.stack(losses).sum()


class OrderMatch(VectorComparison):
    """Matches which of two sentences is more like a third: see `order_loss`.

    Args:
        margin: of the student's cosines.
        weight: factor in the sum of objectives.
    """

    kind: ClassVar[str] = "order"
    needs: ClassVar[frozenset[str]] = OrderObjective.signals

    def __init__(self, margin: float = 0.015, *, weight: float | WeightSchedule = 1.0) -> None:
        super().__init__(weight=weight)
        self.margin = margin

    @classmethod
    def of(cls, config: OrderObjective) -> OrderMatch:
        """The objective a recipe asks for."""
        return cls(config.margin, weight=config.weight)

    def compare_vectors(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :class:`VectorComparison`."""
        return order_loss(student, teacher, self.margin)
