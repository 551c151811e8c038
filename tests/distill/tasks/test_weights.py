"""Weighted and smoothed losses on labels, against plain loops."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from distill.objectives.logits import logits_loss
from distill.system.errors import DataError
from distill.tasks.classification.task import Classification
from distill.tasks.multi_label.task import MultiLabel
from distill.tasks.weights import class_weights, positive_weights

NAMES = ("red", "green", "blue")
ROWS = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2]


def probabilities(row: list[float]) -> list[float]:
    whole = sum(math.exp(value) for value in row)
    return [math.exp(value) / whole for value in row]


def plain_loss(
    logits: list[list[float]], labels: list[int], weights: list[float], smoothing: float
) -> float:
    """The formula of the docstring, row by row."""
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        logs = [math.log(p) for p in probabilities(row)]
        spread = sum(logs) / len(logs)
        total -= weights[label] * ((1 - smoothing) * logs[label] + smoothing * spread)
    return total / len(labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 3.0)])
def test_classification(weights: tuple[float, ...] | None, smoothing: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 0, 1])
    given = weights and dict(zip(NAMES, weights, strict=True))
    task = Classification(NAMES, class_weights=given, label_smoothing=smoothing)
    expected = plain_loss(logits.tolist(), labels.tolist(), list(weights or (1, 1, 1)), smoothing)
    assert task.loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)
    assert task.loss(logits.bfloat16(), labels).dtype == torch.float32
    # Batches add up, whatever labels they have: two halves are the whole.
    halves = (task.loss(logits[:3], labels[:3]) + task.loss(logits[3:], labels[3:])) / 2
    assert halves.item() == pytest.approx(expected, rel=1e-5)


def test_several_labels() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 3), torch.randint(0, 2, (4, 3)).float()
    weights = (0.5, 2.0, 3.0)
    total = 0.0
    for row, truth in zip(logits.tolist(), labels.tolist(), strict=True):
        for z, y, w in zip(row, truth, weights, strict=True):
            p = 1 / (1 + math.exp(-z))
            total -= w * math.log(p) if y else math.log(1 - p)
    task = MultiLabel(NAMES, positive_weights=dict(zip(NAMES, weights, strict=True)))
    assert task.loss(logits, labels).item() == pytest.approx(total / 12, rel=1e-5)
    # As the hard part of distillation sees it: each label as two outcomes.
    batch = {"labels": labels}
    rows, truth = task.comparable(logits, batch), task.comparable_labels(batch)
    assert task.hard_loss is not None
    assert task.hard_loss(rows, truth).item() == pytest.approx(total / 12, rel=1e-5)


def test_balanced_weights_make_every_label_count_alike() -> None:
    weights = class_weights("balanced", NAMES, ROWS)
    assert weights == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    sums = Counter[int]()
    for row in ROWS:
        sums[row] += weights[row]
    assert list(sums.values()) == pytest.approx([10 / 3] * 3)
    assert sum(sums.values()) / len(ROWS) == pytest.approx(1.0)
    # A label that no row has changes nothing for the others.
    assert class_weights("balanced", [*NAMES, "grey"], ROWS) == pytest.approx([*weights, 1.0])


def test_balanced_positive_weights_are_the_odds_against_a_label() -> None:
    rows = [(0,), (0, 1), (0,), (0,)]
    assert positive_weights("balanced", NAMES, rows) == pytest.approx([1.0, 3.0, 1.0])


def test_weights_by_name_leave_the_others_at_one() -> None:
    assert class_weights({"blue": 4.0}, NAMES, ROWS) == (1.0, 1.0, 4.0)
    assert class_weights(None, NAMES, ROWS) is None
    with pytest.raises(DataError, match=r"no label 'blu'; labels are .* did you mean 'blue'"):
        class_weights({"blu": 4.0}, NAMES, ROWS)
    with pytest.raises(DataError, match="no label 'pink'"):
        positive_weights({"pink": 4.0}, NAMES, [])
    with pytest.raises(DataError, match="counted in the training examples"):
        class_weights("balanced", NAMES, [])


def test_the_hard_part_of_distillation_is_the_task_s_loss_and_the_soft_part_is_not() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 3), torch.randn(5, 3)
    labels = torch.tensor([0, 1, 2, 2, 0])
    weights = dict(zip(NAMES, (0.5, 2.0, 3.0), strict=True))
    task = Classification(NAMES, class_weights=weights, label_smoothing=0.1)
    mixed = logits_loss(student, teacher, hard_weight=0.25, labels=labels, hard_loss=task.hard_loss)
    soft = logits_loss(student, teacher)
    hard = plain_loss(student.tolist(), labels.tolist(), [0.5, 2.0, 3.0], 0.1)
    assert mixed.item() == pytest.approx(0.75 * soft.item() + 0.25 * hard, rel=1e-5)
    assert Classification(NAMES).hard_loss is None
    assert MultiLabel(NAMES).hard_loss is None
