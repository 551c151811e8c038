"""Any number of labels a row: its loss, its scores, and what of it is matched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score

from distill.objectives.logits import kl, logits_loss, soft_ce
from distill.system.errors import DataError
from distill.tasks.multi_label.task import MultiLabel

LABELS = ["a", "b", "c"]


def batch(rows: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(rows, 3, generator=generator) > 0.6).float()
    return torch.randn(rows, 3, generator=generator) + 2 * labels - 1, labels


def test_scores_are_scikit_learns_with_each_labels_threshold() -> None:
    logits, labels = batch()
    task = MultiLabel(LABELS, thresholds={"a": 0.3, "c": 0.7})
    assert task.settings == {"thresholds": [0.3, 0.5, 0.7]}
    metrics = task.metrics()
    for part in (slice(0, 25), slice(25, 40)):
        task.observe(metrics, logits[part], {"labels": labels[part]})
    found = {name: float(value) for name, value in metrics.compute().items()}
    predicted = (logits.sigmoid().numpy() > np.array([0.3, 0.5, 0.7])).astype(int)
    true = labels.numpy().astype(int)
    assert found["micro_f1"] == pytest.approx(f1_score(true, predicted, average="micro"))
    assert found["macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro"))
    assert found["exact"] == pytest.approx((true == predicted).all(axis=1).mean())


def test_what_is_compared_is_the_binary_cross_entropy_on_the_teachers_probabilities() -> None:
    student, labels = batch()
    teacher = student.flip(0)
    task = MultiLabel(LABELS)
    ours, theirs = task.comparable(student, {}), task.comparable(teacher, {})
    assert ours.shape == (120, 2)
    expected = F.binary_cross_entropy_with_logits(student, teacher.sigmoid())
    torch.testing.assert_close(soft_ce(ours, theirs), expected)
    assert float(kl(ours, ours)) == pytest.approx(0, abs=1e-7)
    hard = logits_loss(
        ours, theirs, hard_weight=1.0, labels=task.comparable_labels({"labels": labels})
    )
    torch.testing.assert_close(hard, task.loss(student, labels))
    torch.testing.assert_close(hard, F.binary_cross_entropy_with_logits(student, labels))


def test_wrong_thresholds_are_told() -> None:
    with pytest.raises(DataError, match="'d' is no label"):
        MultiLabel(LABELS, thresholds={"d": 0.5})
