"""Matching sentence vectors: the vectors, and how alike the sentences of a batch are.

Legend: B batch, D width of the teacher's vectors, d of the student's, w of a shortened one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.capture.signals import Signals
from distill.objectives.base import LogitsComparison, Objective, Project, full, wanted
from distill.recipe.schema import WeightSchedule
from distill.recipe.schema.objectives import SimilarityObjective, VectorObjective
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


def vector_loss(
    student: Tensor, teacher: Tensor, loss: Literal["cosine", "l2", "mse"] = "cosine"
) -> Tensor:
    r"""How far vectors are apart, a mean over the batch, in fp32.

    ``cosine``: :math:`1 - \cos(s, t)`; ``l2``: :math:`\|s / \|s\| - t / \|t\|\|_2`; ``mse``:
    :math:`\|s - t\|^2 / D`.

    Args:
        student: vectors in the teacher's width, (B, D).
        teacher: (B, D).
        loss: which.

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
    return distributed.mean(apart.clamp(min=1e-12).sqrt())


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


class VectorComparison(LogitsComparison):
    """Compares sentence vectors; shortened ones too, where the task has widths of them.

    The loss is the mean over the full width and the others.

    Reference:
        Kusupati et al. 2022, Matryoshka Representation Learning (there the sum).
    """

    widths: tuple[int, ...] = ()
    """The widths of shortened vectors; set by whoever knows the task."""

    @abstractmethod
    def compare_vectors(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of vectors (B, w) of the student and (B, D) of the teacher."""

    def compare(self, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
        """See :class:`LogitsComparison`."""
        del labels
        with torch.autocast(student.device.type, enabled=False):
            parts = [self.compare_vectors(one, teacher) for one in shortened(student, self.widths)]
        return torch.stack(parts).mean()


class SimilarityMatch(VectorComparison):
    """Matches the batch's matrix of cosines: see `similarity_loss`.

    Args:
        weight: factor in the sum of objectives.
    """

    kind: ClassVar[str] = "similarity"
    needs: ClassVar[frozenset[str]] = SimilarityObjective.signals

    @classmethod
    def of(cls, config: SimilarityObjective) -> SimilarityMatch:
        """The objective a recipe asks for."""
        return cls(weight=config.weight)

    def compare_vectors(self, student: Tensor, teacher: Tensor) -> Tensor:
        """See :class:`VectorComparison`."""
        return similarity_loss(student, teacher)


class VectorMatch(Objective):
    """Matches every sentence vector: see `vector_loss`.

    The student's are projected where the widths differ, and only there; each shortened vector has
    a projection of its own. A student whose own last layer makes vectors of the teacher's width
    (``task.keep_projection``) is compared as it is, shortened vectors with the teacher's, cut too.

    Args:
        loss: see `vector_loss`.
        weight: factor in the sum of objectives.
    """

    kind: ClassVar[str] = "vector"
    needs: ClassVar[frozenset[str]] = VectorObjective.signals
    widths: tuple[int, ...] = ()
    """See :class:`VectorComparison`."""
    in_teachers_space: bool = False
    """Whether the student's vectors are to be the teacher's themselves, shortened ones too."""

    def __init__(
        self,
        loss: Literal["cosine", "l2", "mse"] = "cosine",
        *,
        weight: float | WeightSchedule = 1.0,
    ) -> None:
        super().__init__(weight=weight)
        self.loss = loss

    @classmethod
    def of(cls, config: VectorObjective) -> VectorMatch:
        """The objective a recipe asks for."""
        return cls(config.loss, weight=config.weight)

    def projected(self, layer_map: LayerMap, *, widths: tuple[int, int]) -> frozenset[int]:
        """The vector itself, where the widths differ, and every shortened one."""
        del layer_map
        if self.in_teachers_space:
            return frozenset()
        short = frozenset(VECTOR - 1 - place for place in range(len(self.widths)))
        return short | (frozenset({VECTOR}) if widths[0] != widths[1] else frozenset())

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
        whole = wanted(student.logits, self.kind, "student")  # (B, d)
        theirs = wanted(teacher.logits, self.kind, "teacher").to(whole.device)  # (B, D)
        parts = []
        for place, ours in enumerate(shortened(whole, self.widths)):
            if self.in_teachers_space:
                parts.append(vector_loss(ours, theirs[:, : ours.shape[-1]], self.loss))
                continue
            if project is not None and ours.shape[-1] != theirs.shape[-1]:
                # A projection reads vectors of the student's width, of which the rest is 0 here.
                ours = F.pad(ours, (0, whole.shape[-1] - ours.shape[-1]))
                ours = project(ours, VECTOR - place)
            parts.append(vector_loss(ours, theirs, self.loss))
        return torch.stack(parts).mean()
