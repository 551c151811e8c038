"""Weighted and smoothed losses on labels, against their formulas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from distill.objectives.logits import logits_loss
from distill.system.errors import DataError
from distill.tasks.classification.task import Classification
from distill.tasks.multi_label.task import MultiLabel
from distill.tasks.weights import class_weights, positive_weights

NAMES = ("red", "green", "blue")
ROWS = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2]


def plain_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: Sequence[float], smoothing: float
) -> float:
    """The formula of the docstring."""
    logs = logits.softmax(1).log()  # (B, C)
    own = logs[torch.arange(len(labels)), labels]
    rows = (1 - smoothing) * own + smoothing * logs.mean(1)
    return float(-(torch.tensor(weights)[labels] * rows).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 3.0)])
def test_classification(weights: tuple[float, ...] | None, smoothing: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 0, 1])
    given = weights and dict(zip(NAMES, weights, strict=True))
    task = Classification(NAMES, class_weights=given, label_smoothing=smoothing)
    expected = plain_loss(logits, labels, weights or (1.0, 1.0, 1.0), smoothing)
    assert task.loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)
    assert task.loss(logits.bfloat16(), labels).dtype == torch.float32
    # Batches add up, whatever labels they have: two halves are the whole.
    halves = (task.loss(logits[:3], labels[:3]) + task.loss(logits[3:], labels[3:])) / 2
    assert halves.item() == pytest.approx(expected, rel=1e-5)


def test_several_labels() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 3), torch.randint(0, 2, (4, 3)).float()
    weights = (0.5, 2.0, 3.0)
    p = logits.sigmoid()
    wanted = float(
        -(torch.tensor(weights) * labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    )
    task = MultiLabel(NAMES, positive_weights=dict(zip(NAMES, weights, strict=True)))
    assert task.loss(logits, labels).item() == pytest.approx(wanted, rel=1e-5)
    # As the hard part of distillation sees it: each label as two outcomes.
    batch = {"labels": labels}
    rows, truth = task.comparable(logits, batch), task.comparable_labels(batch)
    assert task.hard_loss is not None
    assert task.hard_loss(rows, truth).item() == pytest.approx(wanted, rel=1e-5)


def test_balanced_weights_make_every_label_count_alike() -> None:
    weights = class_weights("balanced", NAMES, ROWS)
    assert weights == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    counts = np.bincount(ROWS)
    assert weights * counts == pytest.approx([10 / 3] * 3)
    assert (weights * counts).sum() / len(ROWS) == pytest.approx(1.0)
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
    hard = plain_loss(student, labels, [0.5, 2.0, 3.0], 0.1)
    assert mixed.item() == pytest.approx(0.75 * soft.item() + 0.25 * hard, rel=1e-5)
    assert Classification(NAMES).hard_loss is None
    assert MultiLabel(NAMES).hard_loss is None
