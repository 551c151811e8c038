"""The ``task`` section of a number for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from distill.tasks.config import UnnamedOutputs, no_classes

if TYPE_CHECKING:
    from distill.recipe.schema import Objective


class RegressionTask(UnnamedOutputs):
    """A number for a sentence or a pair of sentences, such as how alike the two are."""

    targets: ClassVar[tuple[str, ...]] = ("scores",)

    kind: Literal["regression"]
    metric: Literal["pearson", "spearman"] = "pearson"
    """What is reported and what chooses the best checkpoint."""
    bounds: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """The smallest and the largest number of the scale; others in the data are a mistake, and
    predictions are clipped to it."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise ValueError("bounds: the smallest number comes first")
        return self

    def unfit(self) -> Mapping[str, str]:
        return no_classes("number")

    def objective_issue(self, objective: Objective) -> tuple[str, str] | None:
        loss = getattr(objective, "loss", None)
        if objective.kind == "logits" and loss not in (None, "mse"):
            reason = "compares classes, and a number has none; leave it out or take mse"
            return "loss", f"{loss} {reason}"
        return super().objective_issue(objective)


CONFIG = RegressionTask
