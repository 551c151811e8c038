"""Tasks: what is predicted, its head, its loss and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from distill.recipe import schema
from distill.tasks.base import Task
from distill.tasks.classification import Classification
from distill.tasks.multi_label import MultiLabel
from distill.tasks.ner import Ner
from distill.tasks.question_answering import QuestionAnswering
from distill.tasks.regression import Regression
from distill.tasks.vectors import Vectors
from distill.tasks.weights import class_weights, positive_weights
from distill.text.spans import Decoding

__all__ = [
    "KINDS",
    "Classification",
    "MultiLabel",
    "Ner",
    "QuestionAnswering",
    "Regression",
    "Task",
    "Vectors",
    "make_task",
]


def _classification(config: schema.ClassificationTask, labels: Sequence[str]) -> Task:
    return Classification(labels, metric=config.metric, smoothing=config.label_smoothing)


def _multi_label(config: schema.MultiLabelTask, labels: Sequence[str]) -> Task:
    return MultiLabel(labels, metric=config.metric, thresholds=config.thresholds)


def _regression(config: schema.RegressionTask, labels: Sequence[str]) -> Task:
    del labels  # a number has none
    bounds = None if config.bounds is None else (config.bounds[0], config.bounds[1])
    return Regression(metric=config.metric, bounds=bounds)


def _ner(config: schema.NerTask, labels: Sequence[str]) -> Task:
    return Ner(labels, config.metric, scheme=config.scheme, stride=config.stride)


def _question_answering(config: schema.QuestionTask, labels: Sequence[str]) -> Task:
    del labels  # start and end are all there is
    return QuestionAnswering(
        config.metric,
        decoding=Decoding(
            max_answer=config.max_answer_length,
            no_answer=config.no_answer,
            threshold=config.threshold,
        ),
        stride=config.stride,
        max_question=config.max_question_length,
    )


def _vectors(config: schema.VectorsTask, labels: Sequence[str]) -> Task:
    del labels  # vectors have none
    return Vectors(
        config.metric,
        pooling=config.pooling,
        normalize=config.normalize,
        whitening=config.whitening,
    )


#: Task kinds of a recipe, and what makes the task of its section and the data's labels.
KINDS: dict[str, Callable[[Any, Sequence[str]], Task]] = {
    Classification.kind: _classification,
    MultiLabel.kind: _multi_label,
    QuestionAnswering.kind: _question_answering,
    Ner.kind: _ner,
    Regression.kind: _regression,
    Vectors.kind: _vectors,
}


def make_task(config: schema.LabelledTask, labels: Sequence[str], rows: Sequence[Any] = ()) -> Task:
    """The task that a recipe's ``task`` section describes.

    Args:
        config: the section.
        labels: the label names that the data have, in the order of their integers.
        rows: what is right for each training row, which balanced weights are counted in.

    Raises:
        DataError: the metric or a weight does not fit the labels.
    """
    task = KINDS[config.kind](config, labels)
    if isinstance(task, Classification) and isinstance(config, schema.ClassificationTask):
        task.weights = class_weights(config.class_weights, labels, rows)
    elif isinstance(task, MultiLabel) and isinstance(config, schema.MultiLabelTask):
        task.weights = positive_weights(config.positive_weights, labels, rows)
    return task
