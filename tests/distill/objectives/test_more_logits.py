"""Decoupled and standardised logits against plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from distill.objectives.decoupled import decoupled_loss
from distill.objectives.logits import kl
from distill.objectives.standardized import standardized, standardized_loss
from distill.system.errors import ModelError


def draw(classes: int = 4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (
        torch.randn(5, classes, generator=generator, dtype=dtype) * 2 for _ in range(2)
    )
    return student, teacher, torch.tensor([0, 3, 1, 2, 3]) % classes


def softmax(row, temperature) -> list[float]:
    powers = [math.exp(float(x) / temperature) for x in row]
    return [p / sum(powers) for p in powers]


def divergence(teacher, student) -> float:
    return sum(t * math.log(t / s) for s, t in zip(student, teacher, strict=True))


def plain_decoupled(student, teacher, labels, temperature) -> tuple[float, float]:
    target, others = 0.0, 0.0
    for s_row, t_row, label in zip(student, teacher, labels.tolist(), strict=True):
        s, t = softmax(s_row, temperature), softmax(t_row, temperature)
        target += divergence([t[label], 1 - t[label]], [s[label], 1 - s[label]])
        rest = [k for k in range(len(s)) if k != label]
        others += divergence(
            [t[k] / (1 - t[label]) for k in rest], [s[k] / (1 - s[label]) for k in rest]
        )
    return target / len(labels), others / len(labels)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_decoupled_equals_the_loops(temperature: float) -> None:
    student, teacher, labels = draw()
    target, others = plain_decoupled(student, teacher, labels, temperature)
    found = decoupled_loss(student, teacher, labels, alpha=0.5, beta=3, temperature=temperature)
    expected = temperature**2 * (0.5 * target + 3 * others)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_decoupled_with_the_teachers_weight_is_the_usual_kl() -> None:
    """KL = TCKD + (1 - p_t[y]) NCKD (the paper's equation 6), of one row at a time."""
    student, teacher, labels = draw()
    for row in range(5):
        one = slice(row, row + 1)
        share = 1 - torch.softmax(teacher[row], -1)[labels[row]].item()
        found = decoupled_loss(
            student[one], teacher[one], labels[one], alpha=1, beta=share, temperature=1
        )
        assert found.item() == pytest.approx(kl(student[one], teacher[one]).item(), rel=1e-4)


def test_standardized_equals_the_loops_and_sees_no_shift_or_scale() -> None:
    student, teacher, _ = draw()
    expected = 0.0
    for s_row, t_row in zip(student, teacher, strict=True):
        rows = []
        for row in (s_row.tolist(), t_row.tolist()):
            mean = sum(row) / len(row)
            size = math.sqrt(sum((x - mean) ** 2 for x in row) / len(row))
            rows.append(softmax([(x - mean) / size for x in row], 2))
        expected += 4 * divergence(rows[1], rows[0]) / len(student)
    assert standardized_loss(student, teacher).item() == pytest.approx(expected, rel=1e-4)
    assert standardized_loss(3 * teacher + 7, teacher).item() == pytest.approx(0, abs=1e-5)


def test_gradients_agree_with_finite_differences_and_are_finite_for_equal_logits() -> None:
    student, teacher, labels = draw(dtype=torch.float64)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: decoupled_loss(s, teacher, labels), student)
    assert torch.autograd.gradcheck(lambda s: standardized_loss(s, teacher), student)
    flat = torch.zeros(1, 3, requires_grad=True)
    standardized(flat).sum().backward()
    assert torch.isfinite(flat.grad).all()


def test_two_classes_are_refused_with_the_reason() -> None:
    student, teacher, labels = draw(2)
    with pytest.raises(ModelError, match=r"there are 2 classes; .* always 0: take 'logits'"):
        decoupled_loss(student, teacher, labels)
    with pytest.raises(ModelError, match=r"there are 2 classes; .* always 1 and -1"):
        standardized_loss(student, teacher)
