"""Losses on logits: formulas, gradients and the temperature."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from distill.capture.signals import Signals
from distill.objectives.logits import LogitsMatch, kl, logits_loss, mse, soft_ce
from distill.system.errors import ModelError


def logits(seed: int, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(5, 3, generator=generator) * scale for _ in range(2))
    return student, teacher


def plain_soft_ce(student, teacher, temperature) -> float:
    total = 0.0
    for row in range(student.shape[0]):
        s = [math.exp(float(x) / temperature) for x in student[row]]
        t = [math.exp(float(x) / temperature) for x in teacher[row]]
        total -= sum((b / sum(t)) * math.log(a / sum(s)) for a, b in zip(s, t, strict=True))
    return total / student.shape[0] * temperature**2


def gradient(loss, student, teacher, temperature=1.0) -> torch.Tensor:
    student = student.clone().requires_grad_()
    loss(student, teacher, temperature).backward()
    return student.grad


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_soft_ce_equals_the_formula(temperature) -> None:
    student, teacher = logits(0)
    expected = plain_soft_ce(student, teacher, temperature)
    assert soft_ce(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_kl_is_soft_ce_less_the_teachers_entropy(temperature) -> None:
    student, teacher = logits(1)
    entropy = plain_soft_ce(teacher, teacher, temperature)
    expected = plain_soft_ce(student, teacher, temperature) - entropy
    assert kl(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-5)
    assert kl(teacher, teacher, temperature).item() == pytest.approx(0, abs=1e-6)


def test_soft_ce_gradient_is_the_difference_of_probabilities() -> None:
    student, teacher = logits(3)
    expected = (F.softmax(student / 2, -1) - F.softmax(teacher / 2, -1)) / len(student) * 2
    torch.testing.assert_close(gradient(soft_ce, student, teacher, 2.0), expected)


def test_mse_is_of_raw_logits() -> None:
    student, teacher = logits(5)
    expected = sum(
        float(a - b) ** 2 for a, b in zip(student.flatten(), teacher.flatten(), strict=True)
    )
    assert mse(student, teacher, 7.0).item() == pytest.approx(expected / 15, rel=1e-6)


@pytest.mark.parametrize("loss", [soft_ce, kl, mse])
def test_gradients_agree_with_finite_differences(loss) -> None:
    student, teacher = (x.double() for x in logits(6))
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher, 2.0), student)


def test_hard_labels_are_mixed_in_by_their_share() -> None:
    student, teacher = logits(7)
    labels = torch.tensor([0, 1, 2, 1, 0])
    mixed = logits_loss(student, teacher, temperature=2.0, hard_weight=0.25, labels=labels)
    expected = 0.75 * plain_soft_ce(student, teacher, 2.0) + 0.25 * F.cross_entropy(student, labels)
    assert mixed.item() == pytest.approx(float(expected), rel=1e-6)
    only = logits_loss(student, teacher, hard_weight=1.0, labels=labels)
    assert only.item() == pytest.approx(F.cross_entropy(student, labels).item(), rel=1e-6)


def test_issues_are_told() -> None:
    student, teacher = logits(9)
    with pytest.raises(ModelError, match="hard_weight is set but the batch has no labels"):
        logits_loss(student, teacher, hard_weight=0.5)
    with pytest.raises(ModelError, match=r"\(5, 3\) and the teacher's \(5, 2\)"):
        logits_loss(student, teacher[:, :2])
    with pytest.raises(ModelError, match="'logits': the teacher's signal was not captured"):
        LogitsMatch()(Signals(logits=student), Signals())
