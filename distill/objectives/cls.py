"""Matching the direction of the first token's hidden states.

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
from distill.recipe.schema.objectives import ClsObjective
from distill.system import distributed


def cls_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """``mean over B and D of (s / |s| - t / |t|)^2`` of the first tokens, in fp32.

    A factor of 1/D makes it small: PKD weighs it 10 to 1000.

    Args:
        student: hidden states, (B, L, D), already in the teacher's width.
        teacher: (B, L, D).
        mask: (B, L); a row whose first token is padding does not count.

    Raises:
        ModelError: the widths differ.
    """
    same_shape(student, teacher)
    ours, theirs = (F.normalize(full(x[:, 0]), dim=-1) for x in (student, teacher))  # (B, D)
    squares = (ours - theirs).square().mean(dim=-1)  # (B,)
    valid = mask[:, 0].to(squares)  # (B,)
    return distributed.weighted_mean((squares * valid).sum(), valid.sum())


class ClsMatch(Objective):
    """Mean squared error of normalised hidden states of ``[CLS]``, summed over mapped layers.

    The student's are projected where the widths differ, and only there.

    Reference:
        Sun et al. 2019, Patient Knowledge Distillation for BERT Model Compression, equation 7.
    """

    kind: ClassVar[str] = "cls"
    needs: ClassVar[frozenset[str]] = ClsObjective.signals

    @classmethod
    def of(cls, config: ClsObjective) -> ClsMatch:
        """The objective a recipe asks for."""
        return cls(weight=config.weight)

    @property
    def mapped(self) -> bool:
        """Always."""
        return True

    def projected(self, layer_map: LayerMap, *, widths: tuple[int, int]) -> frozenset[int]:
        """The mapped layers, where the widths differ."""
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
        pairs = hidden_pairs(
            self.kind,
            student,
            teacher,
            layer_map,
            project,
            tokens=1,  # nobody reads the others
        )
        return torch.stack([cls_loss(*pair, mask) for pair in pairs]).sum()
