"""Matching hidden states, whole or their direction, and the embedding outputs.

Legend: B batch, L length, D hidden. Every loss takes hidden states of student and teacher,
(B, L, D), the student's already in the teacher's width, and a mask (B, L), 1 for a real token and 0
for padding; it is a scalar in fp32, or a ModelError where the widths differ.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.objectives.base import C, Compared, Objective, full
from distill.recipe.schema.objectives import (
    ClsObjective,
    CosineObjective,
    EmbeddingObjective,
    HiddenObjective,
)
from distill.system import distributed
from distill.system.errors import ModelError

#: The key of the embedding among the projections of hidden states.
EMBEDDING = 0


def masked_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of hidden states over real tokens, in fp32.

    ``sum(mask * (s - t)^2) / (D * sum(mask))``, so that adding padding changes nothing.
    """
    _same_shape(student, teacher)
    squares = (full(student) - full(teacher)).square().mean(dim=-1)  # (B, L)
    return _mean_where(squares, mask)


def reference_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error over all B x L x D, padding included, in fp32."""
    _same_shape(student, teacher)
    return distributed.mean((full(student) - full(teacher)).square())


def cosine_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """``sum(mask * (1 - cos(s, t))) / sum(mask)`` over real tokens, in fp32."""
    _same_shape(student, teacher)
    apart = 1 - F.cosine_similarity(full(student), full(teacher), dim=-1)  # (B, L)
    return _mean_where(apart, mask)


def cls_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """``mean over B and D of (s / |s| - t / |t|)^2`` of the first tokens, in fp32.

    A factor of 1/D makes it small: PKD weighs it 10 to 1000. A row whose first token is padding
    does not count.
    """
    _same_shape(student, teacher)
    ours, theirs = (F.normalize(full(x[:, 0]), dim=-1) for x in (student, teacher))  # (B, D)
    return _mean_where((ours - theirs).square().mean(dim=-1), mask[:, 0])


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    valid = mask.to(values)
    return distributed.weighted_mean((values * valid).sum(), valid.sum())


def _same_shape(student: Tensor, teacher: Tensor) -> None:
    if student.shape != teacher.shape:
        raise ModelError(
            f"the student's hidden states are {tuple(student.shape)} and the teacher's "
            f"{tuple(teacher.shape)}; project the student to the teacher's width"
        )


class _OfHidden(Objective[C]):
    """A loss of hidden states, summed over pairs of layers."""

    always_projected: ClassVar[bool] = False
    """Whether hidden states are projected at equal widths too."""
    tokens: ClassVar[int | None] = None
    """How many of the first tokens are compared; all where it is ``None``."""

    def projected(self, layer_map: LayerMap, *, widths: tuple[int, int]) -> frozenset[int]:
        needed = self.always_projected or widths[0] != widths[1]
        return frozenset(layer_map.student) if needed else frozenset()

    def __call__(self, batch: Compared) -> Tensor:
        losses = [self.loss(*pair, batch.mask) for pair in self._states(batch)]
        return torch.stack(losses).sum()

    @abstractmethod
    def loss(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        """Of one pair of layers, each (B, L, D)."""

    def _states(self, batch: Compared) -> Iterator[tuple[Tensor, Tensor]]:
        pairs = self.pairs(batch, "hidden")
        for layer, (ours, theirs) in zip(batch.layer_map.student, pairs, strict=True):
            student, teacher = ours[:, : self.tokens], theirs[:, : self.tokens]
            differ = student.shape[-1] != teacher.shape[-1]
            if batch.project is not None and (self.always_projected or differ):
                student = batch.project(student, layer)
            yield student, teacher


class HiddenMatch(_OfHidden[HiddenObjective]):
    """Mean squared error between hidden states, summed over the mapped layers.

    ``L = sum over (i, j) of MSE(H_s[i] W_h, H_t[j])`` over real tokens; over padding
    too in ``reference``.

    Reference:
        TinyBERT, equation 8.
    """

    always_projected = True

    def loss(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        if self.mode == "reference":
            return reference_mse(student, teacher)
        return masked_mse(student, teacher, mask)


class EmbeddingMatch(Objective[EmbeddingObjective]):
    """Mean squared error between embedding outputs, after LayerNorm.

    ``L = MSE(E_s W_e, E_t)`` over real tokens; over padding too in ``reference``.

    Reference:
        TinyBERT, equation 9.
    """

    def projected(self, layer_map: LayerMap, *, widths: tuple[int, int]) -> frozenset[int]:
        return frozenset({EMBEDDING})

    def __call__(self, batch: Compared) -> Tensor:
        ours, theirs = self.pair(batch, "embedding")
        if batch.project is not None:
            ours = batch.project(ours, EMBEDDING)
        if self.mode == "reference":
            return reference_mse(ours, theirs)
        return masked_mse(ours, theirs, batch.mask)


class CosineMatch(_OfHidden[CosineObjective]):
    """``1 - cos`` between the last layers' hidden states, whatever the layer map.

    The student's are projected where the widths differ, and only there; they share the projection
    of objective ``hidden`` for that layer.

    Reference:
        Sanh et al. 2019, DistilBERT, section 3.
    """

    def layers(self, layer_map: LayerMap, *, student: int, teacher: int) -> LayerMap:
        return LayerMap(((student, teacher),))

    def loss(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        return cosine_loss(student, teacher, mask)


class ClsMatch(_OfHidden[ClsObjective]):
    """Mean squared error of normalised hidden states of ``[CLS]``, summed over mapped layers.

    The student's are projected where the widths differ, and only there.

    Reference:
        Sun et al. 2019, Patient Knowledge Distillation for BERT Model Compression, equation 7.
    """

    tokens = 1

    def loss(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        return cls_loss(student, teacher, mask)
