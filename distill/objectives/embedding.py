"""Matching the embedding outputs."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from distill.matching.layer_map import LayerMap
from distill.matching.signals import Signals
from distill.objectives.base import Objective, Project, masked_mse, wanted
from distill.recipe.schema import EmbeddingObjective

#: The key of the embedding among the projections of hidden states.
EMBEDDING = 0


class EmbeddingMatch(Objective):
    """Mean squared error between embedding outputs, after LayerNorm.

    ``L = MSE(E_s W_e, E_t)`` over real tokens.

    Reference:
        TinyBERT, equation 9.
    """

    kind: ClassVar[str] = "embedding"
    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})

    @classmethod
    def of(cls, config: EmbeddingObjective) -> EmbeddingMatch:
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
        del layer_map, labels
        ours = wanted(student.embedding, self.kind, "student")
        theirs = wanted(teacher.embedding, self.kind, "teacher")
        return masked_mse(ours if project is None else project(ours, EMBEDDING), theirs, mask)
