"""The ``task`` section of any number of labels for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, StrictStr

from distill.section import Issues
from distill.tasks.config import NamedLabels, Weights, needs_three_classes

if TYPE_CHECKING:
    from distill.recipe.schema import Recipe

Threshold = Annotated[float, Field(gt=0, lt=1)]


class MultiLabelTask(NamedLabels):
    """Any number of labels for a sentence or a pair of sentences."""

    columns: ClassVar[tuple[str, ...]] = (*NamedLabels.columns, "separator")
    targets: ClassVar[tuple[str, ...]] = ("probabilities", "logits")
    learning: ClassVar[tuple[str, ...]] = ("positive_weights",)

    kind: Literal["multi_label"]
    metric: Literal["micro_f1", "macro_f1", "precision", "recall", "exact"] = "micro_f1"
    """What is reported and what chooses the best checkpoint; ``exact`` is the share of examples all
    of whose labels are right."""
    thresholds: Threshold | Literal["auto"] | dict[StrictStr, Threshold] = 0.5
    """The probability above which a label is predicted: one for all, by label (0.5 for those left
    out), or ``auto``: for each model and label the one with the best F1 on validation examples."""
    positive_weights: Literal["balanced"] | Weights | None = None
    """How much having a label counts against not having it, where labels are learned: by label (1
    for those left out), or ``balanced``, as many times as it is rarer."""

    def issues(self, recipe: Recipe, hidden: int | None) -> Issues:
        if isinstance(self.thresholds, dict) and self.labels is not None:
            for name in self.thresholds:
                if name not in self.labels:
                    known = ", ".join(self.labels)
                    yield ("task", "thresholds", name), f"no label; labels are {known}"
        yield from super().issues(recipe, hidden)

    def unfit(self) -> Mapping[str, str]:
        return needs_three_classes("two for each label")


CONFIG = MultiLabelTask
