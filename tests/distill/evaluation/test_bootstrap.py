"""Intervals and paired differences: brute force over the same draws, scipy, torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap, pearsonr, spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef

from distill.data.split import Split
from distill.evaluation.bootstrap import draw, interval
from distill.tasks.analysis import ExampleAnalysis
from distill.tasks.base import Task
from distill.tasks.classification.task import Classification
from distill.tasks.multi_label.task import MultiLabel
from distill.tasks.regression.task import Regression
from distill.tasks.scorers import (
    correlation_scorer,
    counts_scorer,
    mean_f1_of_seen,
    mean_scorer,
    micro_f1,
    precision,
    recall,
)

RANDOM = np.random.default_rng(0)
ONCE = np.ones((1, 60))


def counts(rows: int, draws: int = 20) -> np.ndarray:
    numbers = RANDOM.integers(0, rows, (draws, rows))
    return np.stack([np.bincount(one, minlength=rows) for one in numbers]).astype(float)


def repeated(values: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.repeat(values, count.astype(int), axis=0)


def analysis_of(task: Task, labels: list, logits: np.ndarray) -> ExampleAnalysis:
    """An analysis of one model, ``m``, with these logits."""
    several = len(task.labels) if task.kind == "multi_label" else None
    split = Split("test", ["a text"] * len(labels), labels, outputs=several)
    made = task.analysis(split, None, None)
    made.keeper("m", task, None)(logits, {"index": np.arange(len(labels))})
    return made


def one_label(classes: int, metric: str, rows: int = 60) -> tuple[ExampleAnalysis, np.ndarray]:
    logits = RANDOM.normal(size=(rows, classes)).astype(np.float32)
    true = RANDOM.integers(0, classes - (classes > 2), rows)  # one label that no row has
    logits[np.arange(rows), true] += 0.7
    task = Classification(tuple("abcdef"[:classes]), metric=metric)
    return analysis_of(task, true.tolist(), logits), logits


@pytest.mark.parametrize(
    ("metric", "classes"),
    [("accuracy", 5), ("macro_f1", 5), ("mcc", 5), ("f1", 2), ("mcc", 2), ("macro_f1", 2)],
)
def test_labels_as_torchmetrics_and_scikit_learn_count_them(metric: str, classes: int) -> None:
    found, logits = one_label(classes, metric)
    metrics = found.task.metrics()
    metrics.update(torch.from_numpy(logits), torch.from_numpy(found.targets))
    scorer = found.scorer("m")
    assert scorer(ONCE)[0] == pytest.approx(float(metrics.compute()[metric]), abs=1e-6)
    drawn, given = counts(60), found.chosen("m")
    by_hand = {
        "accuracy": lambda t, g: (t == g).mean(),
        "macro_f1": lambda t, g: f1_score(t, g, average="macro"),
        "mcc": matthews_corrcoef,
        "f1": lambda t, g: f1_score(t, g),
    }[metric]
    wanted = [by_hand(repeated(found.targets, c), repeated(given, c)) for c in drawn]
    np.testing.assert_allclose(scorer(drawn), wanted, atol=1e-9)


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1", "precision", "recall", "exact"])
def test_several_labels_as_the_task_counts_them(metric: str) -> None:
    logits = RANDOM.normal(size=(60, 4)).astype(np.float32)
    true = (RANDOM.random((60, 4)) < 0.4).astype(np.float32)
    logits[:, 3], true[:, 3] = -5, 0  # neither given nor there
    task = MultiLabel(tuple("abcd"), metric=metric, thresholds={"b": 0.4, "c": 0.6})
    labels = [tuple(np.flatnonzero(row).tolist()) for row in true]
    scorer = analysis_of(task, labels, logits).scorer("m")
    for count in [ONCE[0], *counts(60, 5)]:
        metrics = task.metrics()
        batch = {"labels": torch.from_numpy(repeated(true, count))}
        task.observe(metrics, torch.from_numpy(repeated(logits, count)), batch)
        assert scorer(count[None])[0] == pytest.approx(float(metrics.compute()[metric]), abs=1e-6)


@pytest.mark.parametrize(("metric", "other"), [("pearson", pearsonr), ("spearman", spearmanr)])
def test_correlations_are_scipys_on_every_draw(metric: str, other) -> None:
    true = RANDOM.integers(0, 6, 60).astype(np.float32)  # many ties
    values = (true + RANDOM.normal(size=60)).astype(np.float32)
    task = Regression(metric=metric)
    scorer = analysis_of(task, true.tolist(), values[:, None]).scorer("m")
    metrics = task.metrics()
    metrics.update(torch.from_numpy(values), torch.from_numpy(true))
    assert scorer(ONCE)[0] == pytest.approx(float(metrics.compute()[metric]), abs=1e-5)
    drawn = counts(60)
    wide, truth = values.astype(float), true.astype(float)
    wanted = [other(repeated(wide, c), repeated(truth, c))[0] for c in drawn]
    np.testing.assert_allclose(scorer(drawn), wanted, atol=1e-9)


def test_entities_by_hand() -> None:
    table = np.array([[[1, 0], [2, 1], [1, 1]], [[0, 1], [0, 1], [1, 1]]])  # right, found, real
    drawn = np.array([[1.0, 1.0], [2.0, 0.0]])
    np.testing.assert_allclose(counts_scorer(table, micro_f1)(drawn), [2 * 2 / 8, 2 * 2 / 10])
    np.testing.assert_allclose(counts_scorer(table, precision)(drawn), [2 / 4, 2 / 6])
    np.testing.assert_allclose(counts_scorer(table, recall)(drawn), [2 / 4, 2 / 4])
    np.testing.assert_allclose(
        counts_scorer(table, mean_f1_of_seen)(drawn), [(2 / 4 + 2 / 4) / 2, (4 / 6 + 0) / 2]
    )


def test_the_interval_is_scipys() -> None:
    right = RANDOM.random(400) < 0.8
    low, high = interval(draw({"m": mean_scorer(right)}, 400)["m"])
    wanted = bootstrap((right,), np.mean, method="percentile", n_resamples=4000, rng=1)
    assert low == pytest.approx(wanted.confidence_interval.low, abs=0.006)
    assert high == pytest.approx(wanted.confidence_interval.high, abs=0.006)


def test_differences_are_on_the_same_rows() -> None:
    right = RANDOM.random(500) < 0.7
    better = right.copy()
    better[np.flatnonzero(~right)[:8]] = True
    draws = draw({"old": mean_scorer(right), "new": mean_scorer(better)}, 500)
    low, high = interval(draws["new"] - draws["old"])
    # Apart each is known to +-4 points only; that one is better on rows the other is too is sure.
    assert 0 < low < 8 / 500 < high < 0.04
    low, high = interval(draws["old"])
    assert high - low > 0.07


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_what_differs_by_rounding_only_correlates_with_nothing(metric: str) -> None:
    values = np.full((60, 1), 3.3, np.float32)
    values[::2] = np.nextafter(np.float32(3.3), np.float32(4))
    true = RANDOM.normal(size=60).astype(np.float32)
    scorer = correlation_scorer(metric, values[:, 0], true)
    np.testing.assert_array_equal(scorer(counts(60)), 0)
