"""Tasks: what is predicted, its loss and its metrics."""

from __future__ import annotations

from collections.abc import Sequence

from distill.recipe.schema import ClassificationTask
from distill.tasks.base import Task
from distill.tasks.classification import Classification

__all__ = ["KINDS", "Classification", "Task", "make_task"]

#: Task kinds of a recipe and the classes behind them.
KINDS: dict[str, type[Classification]] = {Classification.kind: Classification}


def make_task(config: ClassificationTask, labels: Sequence[str]) -> Task:
    """The task that a recipe's ``task`` section describes.

    Args:
        config: the section.
        labels: the label names that the data have, in the order of their integers.

    Raises:
        DataError: the metric does not fit the labels.
    """
    return KINDS[config.kind](labels, metric=config.metric)
