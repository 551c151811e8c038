"""The ``task`` section of one label for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from distill.section import Issues, Share
from distill.tasks.config import NamedLabels, Weights, needs_three_classes

if TYPE_CHECKING:
    from distill.recipe.schema import Recipe


class ClassificationTask(NamedLabels):
    """One label for a sentence or a pair of sentences."""

    targets: ClassVar[tuple[str, ...]] = ("probabilities", "logits")
    learning: ClassVar[tuple[str, ...]] = ("class_weights", "label_smoothing")

    kind: Literal["classification"]
    metric: Literal["accuracy", "f1", "macro_f1", "mcc"] = "accuracy"
    """What is reported and what chooses the best checkpoint; ``f1`` is of the second label."""
    class_weights: Literal["balanced"] | Weights | None = None
    """How much the examples of each label count where labels are learned: by label (1 for those
    left out), or ``balanced``, by how rare they are."""
    label_smoothing: Share = 0.0
    """Share of the target that is spread evenly over all labels where labels are learned."""

    def issues(self, recipe: Recipe, hidden: int | None) -> Issues:
        if self.metric == "f1" and self.labels is not None and len(self.labels) != 2:
            yield (
                ("task", "metric"),
                f"f1 is of two labels and there are {len(self.labels)}; take macro_f1 or accuracy",
            )
        yield from super().issues(recipe, hidden)

    def unfit(self) -> Mapping[str, str]:
        labels = self.labels
        return {} if labels is None or len(labels) > 2 else needs_three_classes(str(len(labels)))


CONFIG = ClassificationTask
