"""Matching the embedding outputs."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.capture.signals import Signals
from distill.objectives.base import Mode, Objective, Project, masked_mse, wanted
from distill.objectives.reference import reference_mse
from distill.recipe.schema import WeightSchedule
from distill.recipe.schema.objectives import EmbeddingObjective

#: The key of the embedding among the projections of hidden states.
EMBEDDING = 0


class EmbeddingMatch(Objective):
    """Mean squared error between embedding outputs, after LayerNorm.

    ``L = MSE(E_s W_e, E_t)`` over real tokens; over padding too in ``reference``.

    Reference:
        TinyBERT, equation 9.
    """

    kind: ClassVar[str] = "embedding"
    needs: ClassVar[frozenset[str]] = EmbeddingObjective.signals

    def __init__(self, *, weight: float | WeightSchedule = 1.0, mode: Mode = "masked") -> None:
        super().__init__(weight=weight)
        self.mode = mode

    @classmethod
    def of(cls, config: EmbeddingObjective, mode: Mode = "masked") -> EmbeddingMatch:
        """The objective a recipe asks for."""
        return cls(weight=config.weight, mode=mode)

    def projected(self, layer_map: LayerMap, *, widths: tuple[int, int]) -> frozenset[int]:
        """The embedding, at equal widths too."""
        del layer_map, widths
        return frozenset({EMBEDDING})

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
        del layer_map, labels
        ours = wanted(student.embedding, self.kind, "student")
        theirs = wanted(teacher.embedding, self.kind, "teacher")
        if project is not None:
            ours = project(ours, EMBEDDING)
        if self.mode == "reference":
            return reference_mse(ours, theirs)
        return masked_mse(ours, theirs, mask)
