"""What a stage finds when it begins, as far as it follows from the recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from distill.pruning.methods import PruneStage
from distill.recipe.model_shapes import TeacherShape
from distill.recipe.sizes import Size

if TYPE_CHECKING:
    from distill.recipe.shapes import Shape


@dataclass(frozen=True)
class Before:
    """Teacher and student as they come to a stage.

    Args:
        student: its shape with the layers that are left; ``None`` where the size is unknown.
        teacher: its shape; ``None`` where it is not known without loading it.
        heads_pruned: whether layers may have fewer heads than the student began with.
        own_tokens: whether the student reads tokens of its own.
        shape: the student's, with all that is left; ``None`` where the teacher's is not known.
    """

    student: Size | None
    teacher: TeacherShape | None
    heads_pruned: bool = False
    own_tokens: bool = False
    shape: Shape | None = None

    @property
    def layers(self) -> int | None:
        """The student's depth."""
        return None if self.student is None else self.student.layers

    @property
    def words(self) -> int | None:
        """The width of the student's table of word embeddings."""
        if self.shape is not None:
            return self.shape.words
        return None if self.student is None else self.student.hidden

    def after(self, stage: Any) -> Before:
        """What the stage behind ``stage`` finds."""
        if not isinstance(stage, PruneStage):
            return self
        size = self.student
        return Before(
            size and replace(size, layers=stage.layers_left(size.layers)),
            self.teacher,
            self.heads_pruned or stage.removes_heads,
            self.own_tokens or stage.own_tokens,
            self.shape and stage.shape_left(self.shape),
        )
