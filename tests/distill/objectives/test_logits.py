"""Losses on logits: formulas, gradients and the temperature."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from distill.capture.signals import Signals
from distill.objectives import Compared, make_objectives
from distill.objectives.logits import (
    decoupled_loss,
    kl,
    logits_loss,
    mse,
    soft_ce,
    standardized,
    standardized_loss,
)
from distill.system.errors import ModelError

LABELS = torch.tensor([0, 3, 1, 2, 3])


def logits(seed: int, classes: int = 4, dtype=torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (
        torch.randn(5, classes, generator=generator, dtype=dtype) * 2 for _ in range(2)
    )
    return student, teacher


def softmax(row, temperature) -> list[float]:
    powers = [math.exp(float(x) / temperature) for x in row]
    return [p / sum(powers) for p in powers]


def divergence(teacher, student) -> float:
    return sum(t * math.log(t / s) for s, t in zip(student, teacher, strict=True))


def plain_soft_ce(student, teacher, temperature) -> float:
    total = 0.0
    for s_row, t_row in zip(student, teacher, strict=True):
        s, t = softmax(s_row, temperature), softmax(t_row, temperature)
        total -= sum(b * math.log(a) for a, b in zip(s, t, strict=True))
    return total / len(student) * temperature**2


def plain_decoupled(student, teacher, temperature) -> tuple[float, float]:
    target, others = 0.0, 0.0
    for s_row, t_row, label in zip(student, teacher, LABELS.tolist(), strict=True):
        s, t = softmax(s_row, temperature), softmax(t_row, temperature)
        target += divergence([t[label], 1 - t[label]], [s[label], 1 - s[label]])
        rest = [k for k in range(len(s)) if k != label]
        others += divergence(
            [t[k] / (1 - t[label]) for k in rest], [s[k] / (1 - s[label]) for k in rest]
        )
    return target / len(LABELS), others / len(LABELS)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_soft_ce_equals_the_formula_and_kl_is_it_less_the_teachers_entropy(temperature) -> None:
    student, teacher = logits(0)
    expected = plain_soft_ce(student, teacher, temperature)
    assert soft_ce(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-6)
    expected -= plain_soft_ce(teacher, teacher, temperature)
    assert kl(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-5)
    assert kl(teacher, teacher, temperature).item() == pytest.approx(0, abs=1e-6)


def test_soft_ce_gradient_is_the_difference_of_probabilities() -> None:
    student, teacher = logits(3)
    student.requires_grad_()
    soft_ce(student, teacher, 2.0).backward()
    expected = (F.softmax(student / 2, -1) - F.softmax(teacher / 2, -1)) / len(student) * 2
    torch.testing.assert_close(student.grad, expected.detach())


def test_mse_is_of_raw_logits() -> None:
    student, teacher = logits(5)
    expected = sum(
        float(a - b) ** 2 for a, b in zip(student.flatten(), teacher.flatten(), strict=True)
    )
    assert mse(student, teacher, 7.0).item() == pytest.approx(expected / 20, rel=1e-6)


def test_hard_labels_are_mixed_in_by_their_share() -> None:
    student, teacher = logits(7)
    mixed = logits_loss(student, teacher, temperature=2.0, hard_weight=0.25, labels=LABELS)
    expected = 0.75 * plain_soft_ce(student, teacher, 2.0) + 0.25 * F.cross_entropy(student, LABELS)
    assert mixed.item() == pytest.approx(float(expected), rel=1e-6)
    only = logits_loss(student, teacher, hard_weight=1.0, labels=LABELS)
    assert only.item() == pytest.approx(F.cross_entropy(student, LABELS).item(), rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_decoupled_equals_the_loops(temperature: float) -> None:
    student, teacher = logits(0)
    target, others = plain_decoupled(student, teacher, temperature)
    found = decoupled_loss(student, teacher, LABELS, alpha=0.5, beta=3, temperature=temperature)
    expected = temperature**2 * (0.5 * target + 3 * others)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_decoupled_with_the_teachers_weight_is_the_usual_kl() -> None:
    """KL = TCKD + (1 - p_t[y]) NCKD (the paper's equation 6), of one row at a time."""
    student, teacher = logits(0)
    for row in range(5):
        one = slice(row, row + 1)
        share = 1 - torch.softmax(teacher[row], -1)[LABELS[row]].item()
        found = decoupled_loss(
            student[one], teacher[one], LABELS[one], alpha=1, beta=share, temperature=1
        )
        assert found.item() == pytest.approx(kl(student[one], teacher[one]).item(), rel=1e-4)


def test_standardized_equals_the_loops_and_sees_no_shift_or_scale() -> None:
    student, teacher = logits(0)
    expected = 0.0
    for both in zip(student.tolist(), teacher.tolist(), strict=True):
        rows = []
        for row in both:
            mean = sum(row) / len(row)
            size = math.sqrt(sum((x - mean) ** 2 for x in row) / len(row))
            rows.append(softmax([(x - mean) / size for x in row], 2))
        expected += 4 * divergence(rows[1], rows[0]) / len(student)
    assert standardized_loss(student, teacher).item() == pytest.approx(expected, rel=1e-4)
    assert standardized_loss(3 * teacher + 7, teacher).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    "loss", [soft_ce, kl, mse, standardized_loss, lambda s, t, _: decoupled_loss(s, t, LABELS)]
)
def test_gradients_agree_with_finite_differences(loss) -> None:
    student, teacher = logits(6, dtype=torch.float64)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher, 2.0), student)


def test_the_gradient_of_equal_logits_is_finite() -> None:
    flat = torch.zeros(1, 3, requires_grad=True)
    standardized(flat).sum().backward()
    assert torch.isfinite(flat.grad).all()


def test_issues_are_told() -> None:
    student, teacher = logits(9)
    with pytest.raises(ModelError, match="hard_weight is set but the batch has no labels"):
        logits_loss(student, teacher, hard_weight=0.5)
    with pytest.raises(ModelError, match=r"\(5, 4\) and the teacher's \(5, 2\)"):
        logits_loss(student, teacher[:, :2])
    [objective] = make_objectives(["logits"])
    batch = Compared(Signals(logits=student), Signals(), torch.ones(5, 2))
    with pytest.raises(ModelError, match="'logits': the teacher's signal was not captured"):
        objective(batch)


def test_two_classes_are_refused_with_the_reason() -> None:
    student, teacher = logits(0, classes=2)
    with pytest.raises(ModelError, match=r"there are 2 classes; .* always 0: take 'logits'"):
        decoupled_loss(student, teacher, LABELS % 2)
    with pytest.raises(ModelError, match=r"there are 2 classes; .* always 1 and -1"):
        standardized_loss(student, teacher)
