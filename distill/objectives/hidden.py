"""Matching the hidden states of mapped layers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.capture.signals import Signals
from distill.objectives.base import Mode, Objective, Project, hidden_pairs, masked_mse
from distill.objectives.reference import reference_mse
from distill.recipe.schema import WeightSchedule
from distill.recipe.schema.objectives import HiddenObjective


class HiddenMatch(Objective):
    """Mean squared error between hidden states, summed over the mapped layers.

    ``L = sum over (i, j) of MSE(H_s[i] W_h, H_t[j])`` over real tokens; over padding
    too in ``reference``.

    Reference:
        TinyBERT, equation 8.
    """

    kind: ClassVar[str] = "hidden"
    needs: ClassVar[frozenset[str]] = HiddenObjective.signals

    def __init__(self, *, weight: float | WeightSchedule = 1.0, mode: Mode = "masked") -> None:
        super().__init__(weight=weight)
        self.mode = mode

    @classmethod
    def of(cls, config: HiddenObjective, mode: Mode = "masked") -> HiddenMatch:
        """The objective a recipe asks for."""
        return cls(weight=config.weight, mode=mode)

    @property
    def mapped(self) -> bool:
        """Always."""
        return True

    def projected(self, layer_map: LayerMap, *, widths: tuple[int, int]) -> frozenset[int]:
        """The mapped layers, at equal widths too."""
        del widths
        return frozenset(layer_map.student)

    def __call__(
        self,
        student: Signals,
        teacher: Signals,
        *,
        mask: Tensor,
        layer_map: LayerMap,
        project: Project | None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """See :class:`Objective`."""
        del labels
        pairs = hidden_pairs(self.kind, student, teacher, layer_map, project, always=True)
        if self.mode == "reference":
            losses = [reference_mse(*pair) for pair in pairs]
        else:
            losses = [masked_mse(*pair, mask) for pair in pairs]
        return torch.stack(losses).sum()
