"""Embedding, hidden and attention losses against plain loops over real tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.capture.layer_map import LayerMap
from distill.capture.projection import Projections
from distill.capture.signals import Signals
from distill.objectives.attention import AttentionMatch, attention_loss
from distill.objectives.base import masked_mse
from distill.objectives.embedding import EmbeddingMatch
from distill.objectives.hidden import HiddenMatch
from distill.system.errors import ModelError


@torch.no_grad()
def plain_hidden(student, teacher, lengths) -> float:
    """Mean over real tokens and dimensions, written as loops."""
    squares, count = 0.0, 0
    for row, length in enumerate(lengths):
        for position in range(length):
            for s, t in zip(student[row][position], teacher[row][position], strict=True):
                squares += (float(s) - float(t)) ** 2
                count += 1
    return squares / count


def plain_attention(student, teacher, lengths) -> float:
    """Mean over heads and pairs of real tokens, written as loops."""
    squares, count = 0.0, 0
    for row, length in enumerate(lengths):
        for head in range(student.shape[1]):
            for query in range(length):
                for key in range(length):
                    gap = float(student[row, head, query, key] - teacher[row, head, query, key])
                    squares += gap**2
                    count += 1
    return squares / count


def mask_of(lengths, total) -> torch.Tensor:
    return (torch.arange(total)[None] < torch.tensor(lengths)[:, None]).long()


def tensors(shape, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) * 3 for _ in range(2)]


CASES = st.tuples(
    st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(0, 5), st.integers(0, 10_000)
)


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_hidden_equals_the_loops_and_padding_changes_nothing(case) -> None:
    lengths, padding, seed = case
    longest = max(lengths)
    student, teacher = tensors((len(lengths), longest + padding, 4), seed)
    expected = plain_hidden(student, teacher, lengths)
    padded = masked_mse(student, teacher, mask_of(lengths, longest + padding))
    short = masked_mse(student[:, :longest], teacher[:, :longest], mask_of(lengths, longest))
    assert padded.item() == pytest.approx(expected, rel=1e-6)
    assert short.item() == pytest.approx(expected, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_attention_equals_the_loops_and_padding_changes_nothing(case) -> None:
    lengths, padding, seed = case
    longest = max(lengths)
    total = longest + padding
    student, teacher = tensors((len(lengths), 2, total, total), seed)
    # What stands at padded positions may be as large as it likes.
    student[..., longest:] = 1e4
    student[..., longest:, :] = -1e4
    expected = plain_attention(student, teacher, lengths)
    padded = attention_loss(student, teacher, mask_of(lengths, total))
    inner = (slice(None), slice(None), slice(longest), slice(longest))
    short = attention_loss(student[inner], teacher[inner], mask_of(lengths, longest))
    assert padded.item() == pytest.approx(expected, rel=1e-6)
    assert short.item() == pytest.approx(expected, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(CASES)
def test_padding_rows_change_nothing(case) -> None:
    lengths, padding, seed = case
    rows, longest = len(lengths), max(lengths)
    student, teacher = tensors((rows + padding, longest, 4), seed)
    mask = mask_of(lengths + [0] * padding, longest)
    whole = masked_mse(student, teacher, mask)
    assert whole.item() == pytest.approx(
        masked_mse(student[:rows], teacher[:rows], mask[:rows]).item(), rel=1e-6
    )


def test_gradients_agree_with_finite_differences() -> None:
    mask = mask_of([3, 1], 4)
    student, teacher = tensors((2, 4, 3), 0, torch.float64)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: masked_mse(s, teacher, mask), student)
    scores, target = tensors((2, 2, 4, 4), 1, torch.float64)
    scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: attention_loss(s, target, mask), scores)


def test_layers_are_summed_through_the_map_and_the_projections() -> None:
    mask, layer_map = mask_of([3, 2], 4), LayerMap(((1, 2), (2, 4)))
    project = Projections(3, 5, layers=[0, 1, 2])
    torch.manual_seed(0)
    for parameter in project.parameters():
        torch.nn.init.normal_(parameter)
    narrow, _ = tensors((2, 4, 3), 0)
    other, _ = tensors((2, 4, 3), 1)
    wide, wider = tensors((2, 4, 5), 2)
    student = Signals(embedding=other, hidden={1: narrow, 2: other})
    teacher = Signals(embedding=wide, hidden={2: wide, 4: wider})
    shared = {"mask": mask, "layer_map": layer_map, "project": project, "labels": None}
    expected = plain_hidden(project(narrow, 1), wide, [3, 2]) + plain_hidden(
        project(other, 2), wider, [3, 2]
    )
    assert HiddenMatch()(student, teacher, **shared).item() == pytest.approx(expected, rel=1e-6)
    expected = plain_hidden(project(other, 0), wide, [3, 2])
    assert EmbeddingMatch()(student, teacher, **shared).item() == pytest.approx(expected, rel=1e-6)

    ours, theirs = tensors((2, 2, 4, 4), 3)
    more, still = tensors((2, 2, 4, 4), 4)
    student, teacher = (
        Signals(attention={1: ours, 2: more}),
        Signals(attention={2: theirs, 4: still}),
    )
    expected = plain_attention(ours, theirs, [3, 2]) + plain_attention(more, still, [3, 2])
    loss = AttentionMatch()(student, teacher, mask=mask, layer_map=layer_map)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_a_batch_without_tokens_costs_nothing() -> None:
    student, teacher = tensors((1, 3, 4), 0)
    assert masked_mse(student, teacher, torch.zeros(1, 3)).item() == 0


def test_mismatches_say_what_would_work() -> None:
    mask = mask_of([2], 3)
    with pytest.raises(
        ModelError, match=r"2 heads in a layer and the teacher 4; .* 4 student heads"
    ):
        attention_loss(torch.zeros(1, 2, 3, 3), torch.zeros(1, 4, 3, 3), mask)
    with pytest.raises(ModelError, match=r"\(1, 3, 4\) and the teacher's \(1, 3, 6\)"):
        masked_mse(torch.zeros(1, 3, 4), torch.zeros(1, 3, 6), mask)
    with pytest.raises(ModelError, match="'hidden': the teacher's signal was not captured"):
        HiddenMatch()(
            Signals(hidden={1: torch.zeros(1, 3, 4)}),
            Signals(),
            mask=mask,
            layer_map=LayerMap(((1, 1),)),
            project=None,
            labels=None,
        )
