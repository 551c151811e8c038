"""Correlations over pairs, whatever batches the sentences come in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torchmetrics import MetricCollection

from distill.system.errors import DataError
from distill.tasks.vectors.scores import PairCorrelation


def collection() -> MetricCollection:
    made = {"spearman": PairCorrelation("spearman"), "pearson": PairCorrelation("pearson")}
    return MetricCollection(made, compute_groups=[["spearman", "pearson"]])


def rows(pairs: int = 20) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    given = (torch.rand(pairs) * 10).round() / 2  # with ties
    return torch.randn(2 * pairs, 6), torch.arange(2 * pairs), given.repeat_interleave(2)


def test_against_scipy_in_any_batches() -> None:
    vectors, numbers, given = rows()
    metrics = collection()
    order = torch.randperm(40)
    for part in order.split(7):
        metrics.update(vectors[part], numbers[part], given[part])
    assert all(metric.update_called for metric in metrics.values())
    found = {name: float(value) for name, value in metrics.compute().items()}
    unit = vectors.numpy() / np.linalg.norm(vectors.numpy(), axis=1, keepdims=True)
    cosines = (unit[::2] * unit[1::2]).sum(axis=1)
    assert found["spearman"] == pytest.approx(stats.spearmanr(cosines, given[::2])[0], abs=1e-6)
    assert found["pearson"] == pytest.approx(stats.pearsonr(cosines, given[::2])[0], abs=1e-6)
    metrics.reset()
    metrics.update(vectors[:8], numbers[:8], given[:8])
    assert float(metrics.compute()["spearman"]) != found["spearman"]


def test_half_a_pair_is_told() -> None:
    vectors, numbers, given = rows()
    metric = PairCorrelation("spearman")
    metric.update(vectors[:3], numbers[:3], given[:3])
    with pytest.raises(DataError, match="whole"):
        metric.compute()
    metric.reset()
    metric.update(vectors[1:3], numbers[1:3], given[1:3])
    with pytest.raises(DataError, match="whole"):
        metric.compute()
