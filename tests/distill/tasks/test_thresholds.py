"""Thresholds that are chosen: the best there are, and nothing else than what the rows say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from distill.tasks.multi_label.task import MultiLabel
from distill.tasks.multi_label.thresholds import best_thresholds

LABELS = ["often", "rarely", "never"]


def rows(count: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are all too low for 0.5, by another amount for each label."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.tensor([0.5, 0.1, 0.0])
    labels = (torch.rand(count, 3, generator=generator) < shares).float()
    noise = torch.randn(count, 3, generator=generator)
    return noise + 2 * labels - torch.tensor([2.0, 3.0, 5.0]), labels


def brute_force(shares: np.ndarray, there: np.ndarray) -> float:
    """The best F1 of any threshold."""
    chosen = shares > np.linspace(0.0005, 0.9995, 1999)[:, None]  # [thresholds, examples]
    hits = (chosen & (there > 0)).sum(1)
    return float((2 * hits / (chosen.sum(1) + (there > 0).sum())).max())


@pytest.mark.parametrize("seed", range(2))
def test_no_other_threshold_has_a_better_f1(seed: int) -> None:
    logits, labels = rows(seed=seed)
    shares = logits.sigmoid().numpy()
    found = best_thresholds(shares, labels.numpy())
    for k in (0, 1):
        there = labels[:, k].numpy()
        if not there.any():
            assert found[k] == 0.5
            continue
        own = f1_score(there, shares[:, k] > found[k])
        assert own >= brute_force(shares[:, k], there) - 1e-9
        assert own > f1_score(there, shares[:, k] > 0.5, zero_division=0.0)
    assert found[2] == 0.5  # nothing speaks for another one


def test_of_equally_good_thresholds_it_is_the_one_nearest_to_the_usual() -> None:
    parted = np.array([[0.9], [0.8], [0.3], [0.1]])
    assert best_thresholds(parted, np.array([[1], [1], [0], [0]])) == (0.5,)
    assert best_thresholds(parted, np.array([[1], [1], [1], [0]])) == (pytest.approx(0.2),)
    assert best_thresholds(parted, np.array([[1], [0], [0], [0]])) == (pytest.approx(0.85),)
    assert best_thresholds(parted, np.array([[1], [1], [1], [1]])) == (pytest.approx(0.05),)
    # Probabilities that are alike are not parted.
    same = np.array([[0.4], [0.4], [0.4 - 1e-9]])
    assert best_thresholds(same, np.array([[1], [0], [1]])) == (pytest.approx(0.2),)


def test_the_scores_are_those_with_the_best_thresholds_of_these_rows() -> None:
    logits, labels = rows()
    task = MultiLabel(LABELS, metric="macro_f1", thresholds="auto")
    assert task.chooses
    metrics = task.metrics()
    for part in (slice(0, 25), slice(25, 60)):
        task.observe(metrics, logits[part], {"labels": labels[part]})
    scores = {name: float(value) for name, value in metrics.compute().items()}
    chosen = task.chosen(logits, labels)
    bars = np.array(chosen["thresholds"])
    said = (logits.sigmoid().numpy() > bars).astype(int)
    true = labels.numpy().astype(int)
    for average in ("micro", "macro"):
        wanted = f1_score(true, said, average=average, zero_division=0.0)
        if average == "micro":
            assert scores["micro_f1"] == pytest.approx(wanted)
    assert scores["exact"] == pytest.approx((said == true).all(axis=1).mean())
    settled = task.settled(chosen)
    assert not settled.chooses
    assert settled.settings == chosen
    other = settled.metrics()
    settled.observe(other, logits, {"labels": labels})
    again = {name: float(value) for name, value in other.compute().items()}
    assert again == pytest.approx(scores)
    metrics.reset()
    task.observe(metrics, logits[:5], {"labels": labels[:5]})
    assert float(metrics.compute()["exact"]) != scores["exact"]  # nothing is left of what was
