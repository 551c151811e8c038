"""Matching sentence vectors: the vectors, and how the sentences of a batch stand to each other.

Legend: B batch, D width of the teacher's vectors, d of the student's, w of a shortened one. Every
loss takes the student's vectors, (B, d), and the teacher's of the same sentences, (B, D), and is a
scalar in fp32.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.objectives.base import C, Compared, Objective, full
from distill.recipe.schema.objectives import (
    OrderObjective,
    RelationalObjective,
    SimilarityObjective,
    VectorObjective,
)
from distill.system import distributed
from distill.system.errors import ModelError

#: The name of the projection of sentence vectors, where hidden states have the layer's number.
VECTOR = -1
#: Squared distances below it count as it: a root has no gradient at 0.
_LEAST = 1e-12


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean squared difference of the cosines of all pairs of sentences in a batch, in fp32.

    :math:`\sum_{i \ne j} (\cos(s_i, s_j) - \cos(t_i, t_j))^2 / (B (B - 1))`; 0 for one sentence.
    What a sentence vector is used for is compared, so the widths need not agree.

    Raises:
        ModelError: not as many of both.

    Reference:
        Tung and Mori 2019, Similarity-Preserving Knowledge Distillation; Park et al. 2019,
        Relational Knowledge Distillation.
    """
    if len(student) != len(teacher):
        raise ModelError(
            f"objective 'similarity': {len(student)} vectors of the student and {len(teacher)} "
            "of the teacher; both must be of the same sentences"
        )
    with torch.autocast(student.device.type, enabled=False):
        ours, theirs = (F.normalize(full(x), dim=-1) for x in (student, teacher))
        difference = ours @ ours.T - theirs @ theirs.T  # (B, B)
    others = 1.0 - torch.eye(len(difference), device=difference.device, dtype=difference.dtype)
    return distributed.weighted_mean((difference * others).square().sum(), others.sum())


def vector_loss(
    student: Tensor, teacher: Tensor, loss: Literal["cosine", "l2", "mse"] = "cosine"
) -> Tensor:
    r"""How far vectors are apart, a mean over the batch, in fp32.

    ``cosine``: :math:`1 - \cos(s, t)`; ``l2``: :math:`\|s / \|s\| - t / \|t\|\|_2`; ``mse``:
    :math:`\|s - t\|^2 / D`.

    Raises:
        ModelError: the shapes differ.

    Reference:
        ``mse``: Reimers and Gurevych 2020, Making Monolingual Sentence Embeddings Multilingual
        using Knowledge Distillation; ``l2``: LEAF (arXiv 2509.12539).
    """
    if student.shape != teacher.shape:
        raise ModelError(
            f"objective 'vector': the student's vectors are {tuple(student.shape)} and the "
            f"teacher's {tuple(teacher.shape)}; where the widths differ, take 'similarity'"
        )
    ours, theirs = full(student), full(teacher)
    if loss == "mse":
        return distributed.mean((ours - theirs).square())
    if loss == "cosine":
        return distributed.mean(1 - F.cosine_similarity(ours, theirs, dim=-1))
    apart = (F.normalize(ours, dim=-1) - F.normalize(theirs, dim=-1)).square().sum(dim=-1)  # (B,)
    # Away from 0, where a root has no gradient.
    return distributed.mean(apart.clamp(min=_LEAST).sqrt())


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean over pairs of :math:`h(d^s_{ij} - d^t_{ij})`, in fp32; 0 for one sentence.

    :math:`d_{ij} = \|x_i - x_j\| / \mu` with the mean distance :math:`\mu` of the batch, and h
    Huber's loss with :math:`\delta = 1`.

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


def shortened(vectors: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """The vectors as they are, and their first w dimensions for each width: (B, d), (B, w), ...

    Raises:
        ModelError: a width is not below d.
    """
    for width in widths:
        if width >= vectors.shape[-1]:
            raise ModelError(
                f"task.matryoshka: {width} dimensions of the student's {vectors.shape[-1]}; "
                "write smaller ones"
            )
    return [vectors, *(vectors[:, :width] for width in widths)]


class OfVectors(Objective[C]):
    """Compares sentence vectors; shortened ones too, where the task has widths of them.

    The loss is the mean over the full width and the others.

    Reference:
        Kusupati et al. 2022, Matryoshka Representation Learning (there the sum).
    """

    widths: tuple[int, ...] = ()
    """The widths of shortened vectors; set by whoever knows the task."""

    def __call__(self, batch: Compared) -> Tensor:
        ours, theirs = self.pair(batch, "logits")  # (B, d), (B, D)
        with torch.autocast(ours.device.type, enabled=False):
            parts = [self.loss(one, theirs) for one in shortened(ours, self.widths)]
        return torch.stack(parts).mean()

    @abstractmethod
    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Of vectors (B, w) of the student and (B, D) of the teacher."""


class SimilarityMatch(OfVectors[SimilarityObjective]):
    """Matches the batch's matrix of cosines: see `similarity_loss`."""

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        return similarity_loss(student, teacher)


class RelationalMatch(OfVectors[RelationalObjective]):
    """Matches distances and angles: see `distance_loss` and `angle_loss`."""

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        parts = {distance_loss: self.config.distance, angle_loss: self.config.angle}
        losses = [factor * part(student, teacher) for part, factor in parts.items() if factor]
        return torch.stack(losses).sum()


class OrderMatch(OfVectors[OrderObjective]):
    """Matches which of two sentences is more like a third: see `order_loss`."""

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        return order_loss(student, teacher, self.config.margin)


class VectorMatch(OfVectors[VectorObjective]):
    """Matches every sentence vector: see `vector_loss`.

    The student's are projected where the widths differ, and only there; each shortened vector has
    a projection of its own. A student whose own last layer makes vectors of the teacher's width
    (``task.keep_projection``) is compared as it is, shortened vectors with the teacher's, cut too.
    """

    in_teachers_space: bool = False
    """Whether the student's vectors are to be the teacher's themselves, shortened ones too."""

    def projected(self, layer_map: LayerMap, *, widths: tuple[int, int]) -> frozenset[int]:
        """The vector itself, where the widths differ, and every shortened one."""
        if self.in_teachers_space:
            return frozenset()
        short = frozenset(VECTOR - 1 - place for place in range(len(self.widths)))
        return short | (frozenset({VECTOR}) if widths[0] != widths[1] else frozenset())

    def __call__(self, batch: Compared) -> Tensor:
        whole, theirs = self.pair(batch, "logits")  # (B, d), (B, D)
        parts = []
        for place, ours in enumerate(shortened(whole, self.widths)):
            if self.in_teachers_space:
                parts.append(self.loss(ours, theirs[:, : ours.shape[-1]]))
                continue
            if batch.project is not None and ours.shape[-1] != theirs.shape[-1]:
                # A projection reads vectors of the student's width, of which the rest is 0 here.
                ours = F.pad(ours, (0, whole.shape[-1] - ours.shape[-1]))
                ours = batch.project(ours, VECTOR - place)
            parts.append(self.loss(ours, theirs))
        return torch.stack(parts).mean()

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        return vector_loss(student, teacher, self.config.loss)
