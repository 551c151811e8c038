"""What every pruning method has: its section of a recipe, the rules of that section, and its work.

A method is one file in this folder: a class laid over :class:`PruneStage`, and one line in
``__init__.py``. Recipes are read with these files, so they import torch only where they work.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool

from distill.section import Issues, Name, PositiveInt, StageSection, TrainConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from distill.pruning.bench import Bench, Pruned
    from distill.recipe.schema import Recipe
    from distill.recipe.shapes import Before, Shape

Part = Annotated[float, Field(gt=0, lt=1)]
TRIES = 3


class PruneStage(StageSection):
    """Remove parts of the student, then recover by distillation."""

    kind: Literal["prune"]
    name: Name = "prune"
    """The stage's name."""
    method: Any
    """How parts are chosen."""
    max_drop: Annotated[float, Field(ge=0, le=2)] | None = None
    """Largest loss of score (absolute) against the student before; where more is lost, half as
    much is removed. Left out, whatever comes is taken."""
    tries: PositiveInt | None = None
    """How often ``max_drop`` may be tried, each time with half as much; left out, 3."""

    #: Whether the student reads tokens of its own afterwards.
    own_tokens: ClassVar[bool] = False

    @property
    def recovery(self) -> TrainConfig | None:
        """The training after surgery."""
        return None

    @property
    def rounds(self) -> int:
        """In how many rounds parts are removed, with recovery in between."""
        return 1

    @property
    def learns_augmented(self) -> bool:
        """Whether recovery learns from the rows of an augment stage."""
        return False

    @property
    def removes_heads(self) -> bool:
        """Whether layers may be left with fewer heads than the teacher has."""
        return False

    def width_left(self, width: int, part: float = 1.0) -> int:
        """The student's hidden width afterwards, where ``part`` of the removal is done."""
        return width

    def shape_left(self, shape: Shape) -> Shape:
        """The student's shape afterwards; what only a measurement can tell stays as it is."""
        return shape

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        if self.tries is not None and self.max_drop is None:
            yield ("tries",), "are for max_drop, which is not set; give both or neither"

    @abstractmethod
    def describe(self) -> str:
        """What is removed, in a few words."""

    def removes(self, student: PreTrainedModel, ease: float) -> bool:
        """Whether the part ``ease`` of what is asked for is still something."""
        return True

    @abstractmethod
    def prune(self, student: PreTrainedModel, bench: Bench, ease: float) -> Pruned:
        """Take the part ``ease``, above 0 up to 1, of what is asked for away; the model is left."""


class Recovered(PruneStage):
    """A method with a training behind it."""

    recover: TrainConfig | None = TrainConfig(epochs=1)
    """Distillation of the logits after surgery; ``null`` leaves it out."""
    augmented: StrictBool = True
    """Recover on the examples of an augment stage before it too, where there is one."""

    @property
    def recovery(self) -> TrainConfig | None:
        return self.recover

    @property
    def learns_augmented(self) -> bool:
        return self.augmented and self.recover is not None


class OnBatches(Recovered):
    """A method that judges parts on training examples."""

    batch_size: PositiveInt = 32
    """Examples in each batch that parts are judged on."""
