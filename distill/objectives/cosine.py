"""Matching the direction of the last layers' hidden states.

Legend: B batch, L length, D hidden.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.capture.signals import Signals
from distill.objectives.base import Objective, Project, full, hidden_pairs, same_shape
from distill.recipe.schema.objectives import CosineObjective
from distill.system import distributed


def cosine_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """``sum(mask * (1 - cos(s, t))) / sum(mask)`` over real tokens, in fp32.

    Args:
        student: (B, L, D), already in the teacher's width.
        teacher: (B, L, D).
        mask: (B, L), 1 for a real token and 0 for padding.

    Raises:
        ModelError: the widths differ.
    """
    same_shape(student, teacher)
    apart = 1 - F.cosine_similarity(full(student), full(teacher), dim=-1)  # (B, L)
    valid = mask.to(apart)  # (B, L)
    return distributed.weighted_mean((apart * valid).sum(), valid.sum())


class CosineMatch(Objective):
    """``1 - cos`` between the last layers' hidden states, whatever the layer map.

    The student's are projected where the widths differ, and only there; they share the projection
    of objective ``hidden`` for that layer.

    Reference:
        Sanh et al. 2019, DistilBERT, section 3.
    """

    kind: ClassVar[str] = "cosine"
    needs: ClassVar[frozenset[str]] = CosineObjective.signals

    @classmethod
    def of(cls, config: CosineObjective) -> CosineMatch:
        """The objective a recipe asks for."""
        return cls(weight=config.weight)

    def layers(self, layer_map: LayerMap, *, student: int, teacher: int) -> LayerMap:
        """The last layer of each."""
        del layer_map
        return LayerMap(((student, teacher),))

    def projected(self, layer_map: LayerMap, *, widths: tuple[int, int]) -> frozenset[int]:
        """The last layer, where the widths differ."""
        return frozenset(layer_map.student) if widths[0] != widths[1] else frozenset()

    def __call__(
        self,
        student: Signals,
        teacher: Signals,
        *,
        mask: Tensor,
        layer_map: LayerMap,
        project: Project | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """See :class:`Objective`."""
        del labels
        pairs = hidden_pairs(self.kind, student, teacher, layer_map, project)
        return torch.stack([cosine_loss(*pair, mask) for pair in pairs]).sum()
