"""Matching the hidden states of mapped layers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from distill.matching.layer_map import LayerMap
from distill.matching.signals import Signals
from distill.objectives.base import Objective, Project, masked_mse, wanted
from distill.recipe.schema import HiddenObjective


class HiddenMatch(Objective):
    """Mean squared error between hidden states, summed over the mapped layers.

    ``L = sum over (i, j) of MSE(H_s[i] W_h, H_t[j])`` over real tokens.

    Reference:
        TinyBERT, equation 8.
    """

    kind: ClassVar[str] = "hidden"
    needs: ClassVar[frozenset[str]] = frozenset({"hidden"})

    @classmethod
    def of(cls, config: HiddenObjective) -> HiddenMatch:
        """The objective a recipe asks for."""
        return cls(weight=config.weight)

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
        losses = []
        for ours, theirs in layer_map.pairs:
            hidden = wanted(student.hidden.get(ours), self.kind, "student")
            target = wanted(teacher.hidden.get(theirs), self.kind, "teacher")
            losses.append(
                masked_mse(hidden if project is None else project(hidden, ours), target, mask)
            )
        return torch.stack(losses).sum()
