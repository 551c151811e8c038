"""One number a row: its loss, its correlations, and what of it is matched."""

from __future__ import annotations

import pytest
import torch

from distill.objectives import make_objectives
from distill.objectives.logits import logits_loss
from distill.tasks import make_task
from distill.tasks.regression.config import RegressionTask
from distill.tasks.regression.task import Regression


def test_the_loss_is_the_mean_squared_error() -> None:
    logits, labels = torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 3.5])
    assert float(Regression().loss(logits, labels)) == pytest.approx((1 + 0.25) / 2)


def test_a_teachers_numbers_are_matched_by_squared_error() -> None:
    task = make_task(RegressionTask(kind="regression", bounds=[0, 5]), ())
    assert task.settings == {"bounds": [0, 5]}
    (objective,) = make_objectives(["logits"], logits_loss=task.logits_loss)
    assert objective.config.loss == "mse"
    student, teacher = torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [4.0]])
    labels = torch.tensor([0.0, 2.0])
    found = logits_loss(student, teacher, loss="mse", hard_weight=0.25, labels=labels)
    assert float(found) == pytest.approx(0.75 * 2.5 + 0.25 * 0.5)
