"""Relations of queries, keys and values against plain loops, and what they ask of a model."""

from __future__ import annotations

import math

import pytest
import tiny_training as tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.capture.layer_map import LayerMap
from distill.objectives import make_objectives
from distill.objectives.relations import relation_heads, relation_loss
from distill.recipe.schema.objectives import RelationsObjective
from distill.training.distill import DistillModule


def plain(student, teacher, lengths, heads) -> float:
    """KL of relation rows, mean over real tokens and relation heads, written as loops."""

    def row(vectors, batch, head, query, length):
        # (H, L, d) -> L vectors of H * d, cut into relation heads
        flat = [torch.cat([h[i] for h in vectors[batch]]) for i in range(length)]
        width = len(flat[0]) // heads
        cut = [x[head * width : (head + 1) * width] for x in flat]
        powers = [math.exp(float(cut[query] @ other) / math.sqrt(width)) for other in cut]
        return [p / sum(powers) for p in powers]

    total, count = 0.0, 0
    for batch, length in enumerate(lengths):
        for head in range(heads):
            for query in range(length):
                s = row(student, batch, head, query, length)
                t = row(teacher, batch, head, query, length)
                total += sum(b * math.log(b / a) for a, b in zip(s, t, strict=True))
                count += 1
    return total / count


def draw(lengths, total, seed, dtype=torch.float32):
    """A student of 3 heads of width 4 and a teacher of 2 heads of width 12."""
    generator = torch.Generator().manual_seed(seed)
    student = torch.randn(len(lengths), 3, total, 4, generator=generator, dtype=dtype)
    teacher = torch.randn(len(lengths), 2, total, 12, generator=generator, dtype=dtype)
    mask = (torch.arange(total)[None] < torch.tensor(lengths)[:, None]).long()
    return student, teacher, mask


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(0, 4),
    st.sampled_from([1, 2, 4, 6]),
    st.integers(0, 10_000),
)
def test_equals_the_loops_and_padding_changes_nothing(lengths, padding, heads, seed) -> None:
    longest = max(lengths)
    student, teacher, mask = draw(lengths, longest + padding, seed)
    student[:, :, longest:] = 50.0
    expected = plain(student, teacher, lengths, heads)
    padded = relation_loss(student, teacher, mask, heads=heads)
    inner = (slice(None), slice(None), slice(longest))
    short = relation_loss(student[inner], teacher[inner], mask[:, :longest], heads=heads)
    assert padded.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert short.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_gradients_agree_with_finite_differences_and_are_zero_at_padding() -> None:
    student, teacher, mask = draw([3, 1], 4, 0, torch.float64)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: relation_loss(s, teacher, mask, heads=4), student)
    relation_loss(student, teacher, mask, heads=4).backward()
    assert torch.count_nonzero(student.grad[0, :, 3:]) == 0
    assert torch.count_nonzero(student.grad[1, :, 1:]) == 0


@pytest.mark.parametrize(
    ("student", "teacher", "heads"), [(312, 768, 24), (384, 768, 48), (384, 384, 48), (7, 9, 1)]
)
def test_relation_heads_divide_both_widths(student: int, teacher: int, heads: int) -> None:
    assert relation_heads(student, teacher) == heads


def test_default_layer_is_the_last_pair_and_a_stated_one_needs_no_map() -> None:
    layer_map = LayerMap(((1, 2), (2, 4)))
    depths = {"student": 2, "teacher": 4}
    [last] = make_objectives(["relations"])
    assert last.layers(layer_map, **depths).pairs == ((2, 4),)
    (stated,) = make_objectives([RelationsObjective(kind="relations", layer=[2, 3])])
    assert stated.layers(LayerMap(()), **depths).pairs == ((2, 3),)
    assert not stated.config.mapped


def test_other_heads_widths_and_depths_and_no_projection() -> None:
    teacher = tiny.bert(layers=3, hidden=24, heads=4, seed=1)
    student = tiny.bert(layers=2, hidden=16, heads=2)
    calls: list[int] = []
    for number, layer in enumerate(teacher.bert.encoder.layer, 1):
        layer.register_forward_pre_hook(lambda *_, n=number: calls.append(n))
    module = DistillModule(
        teacher, student, [RelationsObjective(kind="relations", layer=[2, 2], relation_heads=4)]
    )
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    batch = {"input_ids": torch.arange(1, 11).view(2, 5) * mask, "attention_mask": mask}
    losses = module.losses(batch)
    assert module.project is None
    assert module.layer_map.pairs == ()
    assert calls == [1, 2]  # the teacher's third layer need not run
    expected = 0.0
    states = [
        model.bert(**batch, output_hidden_states=True).hidden_states[1]
        for model in (student, teacher)
    ]
    for name in ("query", "key", "value"):
        ours, theirs = (
            getattr(model.bert.encoder.layer[1].attention.self, name)(hidden)
            .unflatten(-1, (heads, -1))
            .transpose(1, 2)
            for model, hidden, heads in zip((student, teacher), states, (2, 4), strict=True)
        )
        expected += plain(ours.detach(), theirs.detach(), [5, 3], 4)
    assert losses["relations"].item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    losses["loss"].backward()
    attention = student.bert.encoder.layer[1].attention.self
    assert all(getattr(attention, n).weight.grad.abs().sum() > 0 for n in ("query", "key", "value"))
