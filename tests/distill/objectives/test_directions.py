"""Cosine and CLS objectives against plain loops."""

from __future__ import annotations

import math
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.objectives.cls import cls_loss
from distill.objectives.cosine import cosine_loss
from distill.training.distill import DistillModule

CASES = st.tuples(
    st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 4), st.integers(0, 10_000)
)


def draw(lengths, total, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), total, 4)
    mask = (torch.arange(total)[None] < torch.tensor(lengths)[:, None]).long()
    return *(torch.randn(shape, generator=generator, dtype=dtype) * 3 for _ in range(2)), mask


def plain_cosine(student, teacher, lengths) -> float:
    found = []
    for row, length in enumerate(lengths):
        for token in range(length):
            s, t = student[row][token].tolist(), teacher[row][token].tolist()
            dot = sum(a * b for a, b in zip(s, t, strict=True))
            found.append(1 - dot / (math.hypot(*s) * math.hypot(*t)))
    return sum(found) / len(found)


def plain_cls(student, teacher) -> float:
    total = 0.0
    for s, t in zip(student[:, 0].tolist(), teacher[:, 0].tolist(), strict=True):
        total += sum(
            (a / math.hypot(*s) - b / math.hypot(*t)) ** 2 for a, b in zip(s, t, strict=True)
        )
    return total / student[:, 0].numel()


@settings(max_examples=30, deadline=None)
@given(CASES)
def test_equal_the_loops_and_padding_changes_nothing(case) -> None:
    lengths, padding, seed = case
    longest = max(lengths)
    student, teacher, mask = draw(lengths, longest + padding, seed)
    student[:, longest:] = 100.0
    cut = (slice(None), slice(longest))
    for loss, expected in (
        (cosine_loss, plain_cosine(student, teacher, lengths)),
        (cls_loss, plain_cls(student, teacher)),
    ):
        padded = loss(student, teacher, mask).item()
        assert padded == pytest.approx(expected, rel=1e-5, abs=1e-6)
        short = loss(student[cut], teacher[cut], mask[cut]).item()
        assert short == pytest.approx(expected, rel=1e-5, abs=1e-6)
        empty = torch.zeros(1, *mask.shape[1:], dtype=mask.dtype)
        more = loss(
            torch.cat([student, student[:1]]),
            torch.cat([teacher, -teacher[:1]]),
            torch.cat([mask, empty]),
        )
        assert more.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("loss", [cosine_loss, cls_loss])
def test_gradients_agree_with_finite_differences(loss) -> None:
    student, teacher, mask = draw([3, 1], 4, 0, torch.float64)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher, mask), student)


@pytest.mark.parametrize("width", [16, 24])
def test_layers_and_projections_of_a_module(tiny: ModuleType, width: int) -> None:
    teacher = tiny.bert(layers=4, hidden=24, seed=1)
    student = tiny.bert(layers=2, hidden=width)
    # `first` maps student layer 2 to teacher layer 2; cosine looks at the last layers all the same.
    module = DistillModule(teacher, student, ["cosine", "cls"], layer_map="first")
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    batch = {"input_ids": torch.arange(1, 9).view(2, 4) * mask, "attention_mask": mask}
    found = module.losses(batch)
    ours, theirs = (
        model.bert(**batch, output_hidden_states=True).hidden_states for model in (student, teacher)
    )
    project = module.project
    assert (project is None) == (width == 24)
    sent = [ours[k] if project is None else project(ours[k], k) for k in (1, 2)]
    sent = [x.detach() for x in sent]
    cosine = plain_cosine(sent[1], theirs[4].detach(), [4, 2])
    assert found["cosine"].item() == pytest.approx(cosine, rel=1e-4)
    expected = plain_cls(sent[0], theirs[1].detach()) + plain_cls(sent[1], theirs[2].detach())
    assert found["cls"].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)
