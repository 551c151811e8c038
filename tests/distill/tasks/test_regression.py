"""One number a row: its loss, its correlations, and what of it is matched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from distill.objectives import make_objectives
from distill.objectives.logits import LogitsMatch, logits_loss
from distill.tasks import make_task
from distill.tasks.regression.config import RegressionTask
from distill.tasks.regression.task import Regression


def test_scores_are_scipys_over_all_batches() -> None:
    random = np.random.default_rng(0)
    predicted, true = random.normal(size=50), np.round(random.normal(size=50), 1)
    predicted += true
    task = Regression(metric="spearman")
    metrics = task.metrics()
    for start in range(0, 50, 16):
        part = slice(start, start + 16)
        logits = torch.tensor(predicted[part], dtype=torch.float32)[:, None]
        task.observe(metrics, logits, {"labels": torch.tensor(true[part], dtype=torch.float32)})
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found["pearson"] == pytest.approx(stats.pearsonr(predicted, true)[0], abs=1e-5)
    assert found["spearman"] == pytest.approx(stats.spearmanr(predicted, true)[0], abs=1e-5)
    errors = predicted - true
    assert found["mse"] == pytest.approx((errors**2).mean(), rel=1e-4)
    assert found["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-4)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_constant_predictions_correlate_with_nothing(metric: str) -> None:
    task = Regression(metric=metric)
    metrics = task.metrics()
    task.observe(metrics, torch.ones(8, 1), {"labels": torch.arange(8.0)})
    assert float(metrics.compute()[metric]) == 0.0


def test_the_loss_is_the_mean_squared_error() -> None:
    logits, labels = torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 3.5])
    assert float(Regression().loss(logits, labels)) == pytest.approx((1 + 0.25) / 2)


def test_a_teachers_numbers_are_matched_by_squared_error() -> None:
    task = make_task(RegressionTask(kind="regression", bounds=[0, 5]), ())
    assert task.settings == {"bounds": [0, 5]}
    (objective,) = make_objectives(["logits"], logits_loss=task.logits_loss)
    assert isinstance(objective, LogitsMatch)
    assert objective.loss == "mse"
    student, teacher = torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [4.0]])
    labels = torch.tensor([0.0, 2.0])
    found = logits_loss(student, teacher, loss="mse", hard_weight=0.25, labels=labels)
    assert float(found) == pytest.approx(0.75 * 2.5 + 0.25 * 0.5)
