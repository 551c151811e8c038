"""What every kind's ``task`` section has, and its rules against the rest of a recipe.

Recipes are read with these files, so that they import nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, StrictStr, field_validator

from distill.section import Issues, Section, Weight

if TYPE_CHECKING:
    from distill.recipe.schema import Objective, Recipe

Weights = Annotated[dict[StrictStr, Weight], Field(min_length=1)]


class TaskSection(Section):
    """Base of all ``task`` sections."""

    kind: str

    #: Which of ``data.columns`` its examples have.
    columns: ClassVar[tuple[str, ...]] = ("text", "text_pair", "label", "id")
    #: Whether it learns from unlabelled text, and so has no labels, score, head or predictions.
    learns_text: ClassVar[bool] = False
    #: Whether its models give an output for each token.
    of_tokens: ClassVar[bool] = False
    #: Whether its models give sentence vectors.
    gives_vectors: ClassVar[bool] = False
    #: Whether an example is a query with candidates.
    has_candidates: ClassVar[bool] = False
    #: What the numbers of a teacher that ran elsewhere may be, the usual first; empty: refused.
    targets: ClassVar[tuple[str, ...]] = ()
    #: Settings that say how labels are learned.
    learning: ClassVar[tuple[str, ...]] = ()
    #: What the built-in data lack for it.
    not_builtin: ClassVar[str] = ""
    #: Why ``augment`` makes no examples for it, and what to do.
    not_augmented: ClassVar[str] = ""

    if TYPE_CHECKING:
        labels: list[str] | None
        metric: str

    def issues(self, recipe: Recipe, hidden: int | None) -> Issues:
        """What of a recipe does not go with this task.

        Args:
            recipe: one that satisfies the schema.
            hidden: the student's hidden width, where it is known.
        """
        if self.not_builtin and recipe.data.source == "builtin":
            message = f"the built-in data have no {self.not_builtin}; take files or hub"
            yield ("data", "source"), message
        for index, stage in enumerate(recipe.stages):
            if stage.kind == "pretrain":
                yield ("stages", index, "kind"), "'pretrain' is for task.kind: text"
            if stage.kind == "augment" and self.not_augmented:
                yield ("stages", index, "kind"), f"'augment' {self.not_augmented}"
            for number, objective in enumerate(getattr(stage, "objectives", ())):
                issue = self.objective_issue(objective)
                if getattr(objective, "loss", None) == "margin_mse" and not self.has_candidates:
                    issue = (
                        "loss",
                        "margin_mse compares a query's candidates; it is for task.kind: ranking",
                    )
                if issue is not None:
                    yield ("stages", index, "objectives", number, issue[0]), issue[1]
        for key in ("train", "validation"):
            if isinstance(getattr(recipe.data, key), list):
                yield ("data", key), "a list of files is for task.kind: text; name one file"

    def unfit(self) -> Mapping[str, str]:
        """Kinds of objectives that do not fit what is predicted: why, and what to do."""
        return {}

    def objective_issue(self, objective: Objective) -> tuple[str, str] | None:
        """The key of an objective that does not fit what is predicted, and what to do."""
        reason = self.unfit().get(objective.kind)
        if objective.of_vectors and not self.gives_vectors:
            reason = (
                f"compares sentence vectors, which a {self.kind} task has not; "
                "it is for task.kind: vectors"
            )
        return None if reason is None else ("kind", f"{objective.kind} {reason}")

    def label_settings(self) -> Mapping[str, Any]:
        """Settings that say how labels are learned, by key, where they are given."""
        return {key: value for key in self.learning if (value := getattr(self, key))}

    def teacher_labels_fit(self, labels: list[str]) -> bool:
        """Whether a teacher's label names are those of the task."""
        return self.labels is None or sorted(self.labels) == sorted(labels)


class NamedLabels(TaskSection):
    """Base of the tasks whose labels have names."""

    metric: str
    labels: Annotated[list[StrictStr], Field(min_length=2)] | None = None
    """Label names in the order of their integers; left out, they come from the training data."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str] | None) -> list[str] | None:
        if labels is not None and len(set(labels)) != len(labels):
            raise ValueError("a label stands in the list twice")
        odd = next((label for label in labels or () if not label or label != label.strip()), None)
        if odd is not None:
            raise ValueError(f"the label '{odd}' has blanks around it or is empty; no row has it")
        return labels


class UnnamedOutputs(TaskSection):
    """Base of the tasks whose outputs have no names that a recipe could list."""

    metric: str
    if not TYPE_CHECKING:
        labels: ClassVar[list[str] | None] = None


def needs_three_classes(classes: str) -> dict[str, str]:
    """What says nothing of two ``classes`` (in words), for :meth:`TaskSection.unfit`."""
    of_two = {
        "decoupled": "its part on the other classes is then always 0",
        "standardized": "two standardised logits are always 1 and -1",
    }
    needs = f"needs three classes or more, and the task has {classes}"
    return {kind: f"{needs}: {reason}; take logits" for kind, reason in of_two.items()}


def no_classes(what: str) -> dict[str, str]:
    """The objectives that compare classes, for the :meth:`TaskSection.unfit` of a task without."""
    reason = f"compares classes, and a {what} has none; take logits"
    return dict.fromkeys(("decoupled", "standardized"), reason)
