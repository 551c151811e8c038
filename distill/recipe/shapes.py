"""Shapes of a recipe's models: what they weigh and cost, and what a stage finds and leaves.

Legend: L length, D hidden size, H heads, F feed-forward neurons, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from distill.recipe.model_shapes import TeacherShape
from distill.recipe.plan import PlannedStage
from distill.recipe.schema import PruneStage, Recipe, StaticStudent
from distill.recipe.sizes import Size, resolve_size

#: Tokens of the example whose multiply-accumulates are shown.
EXAMPLE_LENGTH = 32
_BYTES = 4


@dataclass(frozen=True)
class Shape(TeacherShape):
    """The shape of a classifier of one of BERT's families, stock or pruned alike in every layer."""

    head_dim: int = 0  # width of a head
    labels: int = 0  # C
    # width of the table of word embeddings where a Linear layer without bias brings it to that of
    # the others; 0 where it is as wide
    rank: int = 0

    @classmethod
    def of_teacher(cls, teacher: TeacherShape, labels: int) -> Shape:
        """The shape of a teacher with a head for the task."""
        width = teacher.hidden // teacher.heads
        return cls(**vars(teacher), head_dim=width, labels=labels)

    def student(self, size: Size) -> Shape:
        """A student of a size, with this teacher's vocabulary."""
        own: dict[str, Any] = {
            "layers": size.layers,
            "hidden": size.hidden,
            "heads": size.heads,
            "head_dim": size.hidden // size.heads,
            "ffn": size.ffn,
        }
        if not self.has_students:
            own |= {"positions": self.student_positions, "types": max(1, self.types)}
            own |= {"unread_positions": 0, "embedding": 0, "groups": 0, "family": "bert"}
        return replace(self, **own)

    def pruned(self, heads: float, ffn: float) -> Shape:
        """What is left after shares of heads and neurons are removed."""
        return replace(self, heads=_kept(self.heads, heads), ffn=_kept(self.ffn, ffn))

    @property
    def embedding_parameters(self) -> int:
        """Numbers in the three embedding tables."""
        rows = self.positions + self.unread_positions + self.types
        return self.vocab * self.words + rows * (self.embedding or self.hidden)

    @property
    def words(self) -> int:
        """The width of the table of word embeddings."""
        return self.rank or self.embedding or self.hidden

    @property
    def widening(self) -> int:
        """Numbers of the matrix behind a factored table."""
        return self.rank * (self.embedding or self.hidden)

    @property
    def parameters(self) -> int:
        """All numbers: embeddings, layers, pooler and classifier, with biases and LayerNorm."""
        width = self.heads * self.head_dim
        attention = 3 * (self.hidden * width + width) + width * self.hidden + self.hidden
        feed_forward = 2 * self.hidden * self.ffn + self.ffn + self.hidden
        layer = attention + feed_forward + 4 * self.hidden
        head = (self.hidden + 1) * (self.hidden + self.labels)
        norm = 2 * (self.embedding or self.hidden)
        projected = (self._projected + 1) * self.hidden if self._projected else 0
        layers = (self.groups or self.layers) * layer
        return self.embedding_parameters + self.widening + norm + projected + layers + head

    @property
    def bytes_fp32(self) -> int:
        return _BYTES * self.parameters

    def macs(self, length: float) -> float:
        """Multiply-accumulates of one example of L tokens: linear layers and attention."""
        width = self.heads * self.head_dim
        layer = length * (4 * self.hidden * width + 2 * self.hidden * self.ffn)
        layer += 2 * length * length * width
        head = self.hidden * (self.hidden + self.labels)
        below = length * (self._projected * self.hidden + self.widening)
        return below + self.layers * layer + head

    @property
    def _projected(self) -> int:
        """Width of what a Linear layer brings to D in front of the first layer; 0: none does."""
        return self.embedding if self.embedding != self.hidden else 0


@dataclass(frozen=True)
class StaticShape:
    """The shape of a static student."""

    vocab: int  # rows of its table
    hidden: int  # D
    labels: int  # C; 0 where there is no head
    head: int | None = None  # neurons of the head's hidden layer; ``None`` for a linear one
    layers: int = 0
    heads: int = 0
    ffn: int = 0

    @property
    def embedding_parameters(self) -> int:
        """Numbers in the table."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All numbers: the table, and the head with its biases."""
        bias = self.labels + (self.head or 0)
        return self.embedding_parameters + (round(self.macs(0)) + bias if self.labels else 0)

    @property
    def bytes_fp32(self) -> int:
        return _BYTES * self.parameters

    def macs(self, length: float) -> float:
        """Multiply-accumulates of one example: the head's, however long it is."""
        if self.head is None:
            return self.hidden * self.labels
        return self.head * (self.hidden + self.labels)


@dataclass(frozen=True)
class Before:
    """Teacher and student as they come to a stage."""

    student: Shape | None  # its shape with all that is left; ``None`` where the size is unknown
    teacher: TeacherShape | None  # its shape; ``None`` where it is not known without loading it
    heads_pruned: bool = False  # whether layers may have fewer heads than the student began with
    own_tokens: bool = False  # whether the student reads tokens of its own

    def after(self, stage: Any) -> Before:
        """What the stage behind ``stage`` finds."""
        if not isinstance(stage, PruneStage):
            return self
        return Before(
            self.student and stage.shape_left(self.student),
            self.teacher,
            self.heads_pruned or stage.removes_heads,
            self.own_tokens or stage.own_tokens,
        )


def _kept(count: int, removed: float) -> int:
    return min(count, max(1, round(count * (1 - removed))))


def shapes_by_stage(
    stages: list[PlannedStage], teacher: Shape, recipe: Recipe
) -> list[Shape | StaticShape]:
    """The student's shape at the end of every stage."""
    student = recipe.student
    if isinstance(student, StaticStudent):
        labels = 0 if recipe.task.gives_vectors else teacher.labels
        static = StaticShape(teacher.vocab, student.dim, labels, student.head_size)
        return [static for _ in stages]
    size = resolve_size(student.size, head_dim_of=(teacher.hidden, teacher.heads))
    shape = teacher.student(size)
    if getattr(recipe.task, "keep_projection", False):
        shape = replace(shape, labels=teacher.hidden)  # as many outputs, of a Linear layer as well
    shapes: list[Shape | StaticShape] = []
    for stage in stages:
        if isinstance(stage.config, PruneStage):
            shape = stage.config.shape_left(shape)
        shapes.append(shape)
    return shapes
