"""Matching sentence vectors: their directions, and how alike the sentences of a batch are.

Legend: B batch, D width of the teacher's vectors, d of the student's.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.capture.signals import Signals
from distill.objectives.base import LogitsComparison, Objective, Project, full, wanted
from distill.recipe.schema import SimilarityObjective, VectorObjective, WeightSchedule
from distill.system import distributed
from distill.system.errors import ModelError

#: The name of the projection of sentence vectors, where hidden states have the layer's number.
VECTOR = -1


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean squared difference of the cosines of all pairs of sentences in a batch, in fp32.

    :math:`\sum_{i \ne j} (\cos(s_i, s_j) - \cos(t_i, t_j))^2 / (B (B - 1))`; 0 for one sentence.
    What a sentence vector is used for is compared, so the widths need not agree.

    Args:
        student: vectors, (B, d).
        teacher: vectors of the same sentences, (B, D).

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


def vector_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """``mean over B of 1 - cos(s, t)``, in fp32.

    Args:
        student: vectors in the teacher's width, (B, D).
        teacher: (B, D).

    Raises:
        ModelError: the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ModelError(
            f"objective 'vector': the student's vectors are {tuple(student.shape)} and the "
            f"teacher's {tuple(teacher.shape)}; where the widths differ, take 'similarity'"
        )
    return distributed.mean(1 - F.cosine_similarity(full(student), full(teacher), dim=-1))


class SimilarityMatch(LogitsComparison):
    """Matches the batch's matrix of cosines: see `similarity_loss`.

    Args:
        weight: factor in the sum of objectives.
    """

    kind: ClassVar[str] = "similarity"
    needs: ClassVar[frozenset[str]] = SimilarityObjective.signals

    def __init__(self, *, weight: float | WeightSchedule = 1.0) -> None:
        super().__init__(weight=weight)

    @classmethod
    def of(cls, config: SimilarityObjective) -> SimilarityMatch:
        """The objective a recipe asks for."""
        return cls(weight=config.weight)

    def compare(self, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
        """See :class:`LogitsComparison`."""
        del labels
        return similarity_loss(student, teacher)


class VectorMatch(Objective):
    """Matches the direction of every sentence vector: see `vector_loss`.

    The student's are projected where the widths differ, and only there.

    Args:
        weight: factor in the sum of objectives.

    Reference:
        Reimers and Gurevych 2020, Making Monolingual Sentence Embeddings Multilingual using
        Knowledge Distillation (there with the mean squared error).
    """

    kind: ClassVar[str] = "vector"
    needs: ClassVar[frozenset[str]] = VectorObjective.signals

    @classmethod
    def of(cls, config: VectorObjective) -> VectorMatch:
        """The objective a recipe asks for."""
        return cls(weight=config.weight)

    def projected(self, layer_map: LayerMap, *, widths: tuple[int, int]) -> frozenset[int]:
        """The vector itself, where the widths differ."""
        del layer_map
        return frozenset({VECTOR}) if widths[0] != widths[1] else frozenset()

    def __call__(
        self,
        student: Signals,
        teacher: Signals,
        *,
        mask: Tensor | None = None,
        layer_map: LayerMap | None = None,
        project: Project | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """See :class:`Objective`."""
        del mask, layer_map, labels
        ours = wanted(student.logits, self.kind, "student")  # (B, d)
        theirs = wanted(teacher.logits, self.kind, "teacher").to(ours.device)  # (B, D)
        if project is not None and ours.shape[-1] != theirs.shape[-1]:
            ours = project(ours, VECTOR)
        return vector_loss(ours, theirs)
