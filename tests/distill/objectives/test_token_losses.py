"""Losses of hidden states and attention against plain loops over real tokens."""

from __future__ import annotations

import math
from functools import partial
from itertools import product

import pytest
import tiny_training as tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.capture.layer_map import LayerMap
from distill.capture.projection import Projections
from distill.capture.signals import Signals
from distill.objectives import Compared, make_objectives
from distill.objectives.attention import attention_loss, probabilities_loss
from distill.objectives.hidden import cls_loss, cosine_loss, masked_mse
from distill.recipe.schema.objectives import AttentionObjective
from distill.system.errors import ModelError
from distill.training.distill import DistillModule


def cosine(a, b) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def plain_hidden(student, teacher, lengths) -> float:
    """Mean over real tokens and dimensions."""
    gaps = [
        (s - t) ** 2
        for row, length in enumerate(lengths)
        for token in range(length)
        for s, t in zip(student[row][token].tolist(), teacher[row][token].tolist(), strict=True)
    ]
    return sum(gaps) / len(gaps)


def plain_cosine(student, teacher, lengths) -> float:
    """Mean over real tokens."""
    found = [
        1 - cosine(student[row][token].tolist(), teacher[row][token].tolist())
        for row, length in enumerate(lengths)
        for token in range(length)
    ]
    return sum(found) / len(found)


def plain_cls(student, teacher, lengths) -> float:
    """Mean over rows and dimensions of the first token."""
    total = 0.0
    for s, t in zip(student[:, 0].tolist(), teacher[:, 0].tolist(), strict=True):
        total += sum(
            (a / math.hypot(*s) - b / math.hypot(*t)) ** 2 for a, b in zip(s, t, strict=True)
        )
    return total / student[:, 0].numel()


def plain_attention(student, teacher, lengths, of: str) -> float:
    """Mean over heads and pairs of real tokens; of ``kl``, over heads and real queries."""
    total, rows, pairs = 0.0, 0, 0
    for (row, length), head in product(enumerate(lengths), range(student.shape[1])):
        for query in range(length):
            s, t = (x[row, head, query, :length].tolist() for x in (student, teacher))
            if of != "scores":
                s, t = softmax(s), softmax(t)
            for a, b in zip(s, t, strict=True):
                total += b * math.log(b / a) if of == "kl" else (a - b) ** 2
            rows, pairs = rows + 1, pairs + length
    return total / (rows if of == "kl" else pairs)


def softmax(row) -> list[float]:
    powers = [math.exp(x) for x in row]
    return [p / sum(powers) for p in powers]


#: Each loss, its loops, and whether it is of scores (B, H, L, L) or of hidden states (B, L, D).
LOSSES = {
    "hidden": (masked_mse, plain_hidden, False),
    "cosine": (cosine_loss, plain_cosine, False),
    "cls": (cls_loss, plain_cls, False),
    "scores": (attention_loss, partial(plain_attention, of="scores"), True),
    "kl": (probabilities_loss, partial(plain_attention, of="kl"), True),
    "mse": (partial(probabilities_loss, loss="mse"), partial(plain_attention, of="mse"), True),
}


def mask_of(lengths, total) -> torch.Tensor:
    return (torch.arange(total)[None] < torch.tensor(lengths)[:, None]).long()


def tensors(shape, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) * 3 for _ in range(2)]


def draw(lengths, total, seed, *, scores, dtype=torch.float32):
    rows = len(lengths)
    shape = (rows, 2, total, total) if scores else (rows, total, 4)
    return *tensors(shape, seed, dtype), mask_of(lengths, total)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 4), st.integers(0, 10_000)
)
def test_equal_the_loops_and_padding_changes_nothing(name, lengths, padding, seed) -> None:
    loss, plain, scores = LOSSES[name]
    longest = max(lengths)
    student, teacher, mask = draw(lengths, longest + padding, seed, scores=scores)
    if scores:  # whatever stands at padding
        student[..., longest:] = 1e4
        teacher[..., longest:, :] = -1e4
        cut = (..., slice(longest), slice(longest))
    else:
        student[:, longest:] = 100.0
        cut = (slice(None), slice(longest))
    expected = pytest.approx(plain(student, teacher, lengths), rel=1e-4, abs=1e-6)
    assert loss(student, teacher, mask).item() == expected
    assert loss(student[cut], teacher[cut], mask[:, :longest]).item() == expected
    more = loss(  # a row of padding
        torch.cat([student, student[:1]]),
        torch.cat([teacher, -teacher[:1]]),
        torch.cat([mask, torch.zeros_like(mask[:1])]),
    )
    assert more.item() == expected


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_agree_with_finite_differences_and_are_zero_at_padding(name) -> None:
    loss, _, scores = LOSSES[name]
    student, teacher, mask = draw([3, 1], 4, 0, scores=scores, dtype=torch.float64)
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher, mask), student)
    loss(student, teacher, mask).backward()
    tokens = student.grad.transpose(1, 2) if scores else student.grad  # (B, L, ...)
    assert torch.count_nonzero(tokens[0, 3:]) == torch.count_nonzero(tokens[1, 1:]) == 0
    if scores:
        assert torch.count_nonzero(student.grad[..., 3:]) == 0


def test_layers_are_summed_through_the_map_and_the_projections() -> None:
    mask, layer_map = mask_of([3, 2], 4), LayerMap(((1, 2), (2, 4)))
    project = Projections(3, 5, layers=[0, 1, 2])
    torch.manual_seed(0)
    for parameter in project.parameters():
        torch.nn.init.normal_(parameter)
    project.requires_grad_(False)
    narrow, _ = tensors((2, 4, 3), 0)
    other, _ = tensors((2, 4, 3), 1)
    wide, wider = tensors((2, 4, 5), 2)
    ours, theirs = tensors((2, 2, 4, 4), 3)
    more, still = tensors((2, 2, 4, 4), 4)
    student = Signals(embedding=other, hidden={1: narrow, 2: other}, attention={1: ours, 2: more})
    teacher = Signals(embedding=wide, hidden={2: wide, 4: wider}, attention={2: theirs, 4: still})

    def attention(of: str) -> float:
        return sum(plain_attention(*two, [3, 2], of) for two in ((ours, theirs), (more, still)))

    probabilities = {"kind": "attention", "on": "probabilities"}
    for config, expected in (
        (
            "hidden",
            plain_hidden(project(narrow, 1), wide, [3, 2])
            + plain_hidden(project(other, 2), wider, [3, 2]),
        ),
        ("embedding", plain_hidden(project(other, 0), wide, [3, 2])),
        ("attention", attention("scores")),
        (AttentionObjective(**probabilities), attention("kl")),
        (AttentionObjective(**probabilities, loss="mse"), attention("mse")),
    ):
        [objective] = make_objectives([config])
        found = objective(Compared(student, teacher, mask, layer_map, project))
        assert found.item() == pytest.approx(expected, rel=1e-5), config


@pytest.mark.parametrize("width", [16, 24])
def test_layers_and_projections_of_a_module(width: int) -> None:
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
    assert found["cosine"].item() == pytest.approx(
        plain_cosine(sent[1], theirs[4], [4, 2]), rel=1e-4
    )
    expected = sum(plain_cls(sent[k - 1], theirs[k], [4, 2]) for k in (1, 2))
    assert found["cls"].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)


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
    student = Signals(hidden={1: torch.zeros(1, 3, 4)})
    [hidden] = make_objectives(["hidden"])
    with pytest.raises(ModelError, match="'hidden': the teacher's signal was not captured"):
        hidden(Compared(student, Signals(), mask, LayerMap(((1, 1),))))
