"""Attention after the softmax, against plain loops over real tokens."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.capture.layer_map import LayerMap
from distill.capture.signals import Signals
from distill.objectives import make_objectives
from distill.objectives.attention import probabilities_loss
from distill.recipe.schema.objectives import AttentionObjective

CASES = st.tuples(
    st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 4), st.integers(0, 10_000)
)


def scores(lengths, total, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), 2, total, total)
    mask = (torch.arange(total)[None] < torch.tensor(lengths)[:, None]).long()
    return *(torch.randn(shape, generator=generator, dtype=dtype) * 3 for _ in range(2)), mask


def softmax(row, length):
    powers = [math.exp(float(x)) for x in row[:length]]
    return [p / sum(powers) for p in powers]


def plain(student, teacher, lengths) -> dict[str, float]:
    """KL over keys, mean over heads and real queries; squares, mean over real pairs."""
    kl, squares, rows, pairs = 0.0, 0.0, 0, 0
    for row, length in enumerate(lengths):
        for head in range(student.shape[1]):
            for query in range(length):
                s = softmax(student[row, head, query], length)
                t = softmax(teacher[row, head, query], length)
                kl += sum(b * math.log(b / a) for a, b in zip(s, t, strict=True))
                squares += sum((a - b) ** 2 for a, b in zip(s, t, strict=True))
                rows, pairs = rows + 1, pairs + length
    return {"kl": kl / rows, "mse": squares / pairs}


@settings(max_examples=25, deadline=None)
@given(CASES)
def test_equals_the_loops_and_padding_changes_nothing(case) -> None:
    lengths, padding, seed = case
    longest = max(lengths)
    student, teacher, mask = scores(lengths, longest + padding, seed)
    student[..., longest:] = 1e4  # whatever stands at padding
    teacher[..., longest:, :] = -1e4
    expected = plain(student, teacher, lengths)
    inner = (..., slice(longest), slice(longest))
    for loss in ("kl", "mse"):
        padded = probabilities_loss(student, teacher, mask, loss=loss)
        short = probabilities_loss(student[inner], teacher[inner], mask[:, :longest], loss=loss)
        assert padded.item() == pytest.approx(expected[loss], rel=1e-4, abs=1e-6)
        assert short.item() == pytest.approx(expected[loss], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("loss", ["kl", "mse"])
def test_gradients_agree_with_finite_differences_and_are_zero_at_padding(loss) -> None:
    student, teacher, mask = scores([3, 1], 4, 0, torch.float64)
    student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: probabilities_loss(s, teacher, mask, loss=loss), student
    )
    probabilities_loss(student, teacher, mask, loss=loss).backward()
    assert torch.count_nonzero(student.grad[1, :, 1:]) == 0
    assert torch.count_nonzero(student.grad[..., 3:]) == 0


def test_objective_sums_over_layers_and_takes_kl_unless_told() -> None:
    (ours, theirs, mask), (more, still, _) = scores([3, 2], 4, 0), scores([3, 2], 4, 1)
    student, teacher = (
        Signals(attention={1: ours, 2: more}),
        Signals(attention={2: theirs, 4: still}),
    )
    layer_map = LayerMap(((1, 2), (2, 4)))
    plains = plain(ours, theirs, [3, 2]), plain(more, still, [3, 2])
    for loss, kind in ((None, "kl"), ("mse", "mse")):
        config = AttentionObjective(kind="attention", on="probabilities", loss=loss)
        (objective,) = make_objectives([config])
        found = objective(
            student, teacher, mask=mask, layer_map=layer_map, project=None, labels=None
        )
        assert found.item() == pytest.approx(sum(p[kind] for p in plains), rel=1e-5)
