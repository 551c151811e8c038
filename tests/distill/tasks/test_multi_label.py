"""Any number of labels a row: what is matched, and the best thresholds that there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score

from distill.objectives.logits import kl, logits_loss, soft_ce
from distill.system.errors import DataError
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
    wanted = f1_score(true, said, average="micro", zero_division=0.0)
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


def test_what_is_compared_is_the_binary_cross_entropy_on_the_teachers_probabilities() -> None:
    student, labels = rows()
    teacher = student.flip(0)
    task = MultiLabel(LABELS)
    ours, theirs = task.comparable(student, {}), task.comparable(teacher, {})
    assert ours.shape == (180, 2)
    expected = F.binary_cross_entropy_with_logits(student, teacher.sigmoid())
    torch.testing.assert_close(soft_ce(ours, theirs), expected)
    assert float(kl(ours, ours)) == pytest.approx(0, abs=1e-7)
    hard = logits_loss(
        ours, theirs, hard_weight=1.0, labels=task.comparable_labels({"labels": labels})
    )
    torch.testing.assert_close(hard, task.loss(student, labels))
    torch.testing.assert_close(hard, F.binary_cross_entropy_with_logits(student, labels))


def test_thresholds_by_name() -> None:
    task = MultiLabel(LABELS, thresholds={"often": 0.3, "never": 0.7})
    assert task.settings == {"thresholds": [0.3, 0.5, 0.7]}
    logits = torch.tensor([[0.31, 0.52, 0.69], [0.29, 0.48, 0.71]]).logit()
    assert task.decide(logits).tolist() == [[1, 1, 0], [0, 0, 1]]
    with pytest.raises(DataError, match="'d' is no label"):
        MultiLabel(LABELS, thresholds={"d": 0.5})
