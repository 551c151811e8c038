"""``mode: reference`` against a transcription of what TinyBERT's published code computes."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_training as tiny
import torch
from torch import Tensor, nn

from distill.objectives.attention import reference_attention
from distill.training.distill import DistillModule

LAYERS = {"teacher": 4, "student": 2}
HEADS, WIDTHS = 2, {"teacher": 24, "student": 16}


def forward(model: Any, ids: Tensor, mask: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Logits, scores with the mask added, and hidden states from the embedding up."""
    added = (1.0 - mask.float())[:, None, None, :] * -10000.0
    states = [model.bert.embeddings(ids)]
    scores = []
    for layer in model.bert.encoder.layer:
        hidden, attention = states[-1], layer.attention.self
        rows, length, width = hidden.shape

        query, key, value = (
            getattr(attention, name)(hidden)
            .view(rows, length, HEADS, width // HEADS)
            .permute(0, 2, 1, 3)
            for name in ("query", "key", "value")
        )
        score = torch.matmul(query, key.transpose(-1, -2)) / (width // HEADS) ** 0.5 + added
        scores.append(score)
        context = torch.matmul(nn.Softmax(dim=-1)(score), value)
        context = context.permute(0, 2, 1, 3).reshape(rows, length, width)
        middle = layer.attention.output.LayerNorm(layer.attention.output.dense(context) + hidden)
        inner = nn.functional.gelu(layer.intermediate.dense(middle))
        states.append(layer.output.LayerNorm(layer.output.dense(inner) + middle))
    logits = model.classifier(model.bert.pooler(states[-1]))
    return logits, scores, states


def transcription(teacher: Any, student: Any, batch: dict[str, Tensor], fit_dense: nn.Linear):
    """Losses of the intermediate and the prediction step, term by term."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    with torch.no_grad():
        t_logits, t_atts, t_reps = forward(teacher, ids, mask)
    s_logits, s_atts, s_reps = forward(student, ids, mask)
    mse = nn.MSELoss()
    k = LAYERS["teacher"] // LAYERS["student"]
    att_loss = torch.zeros(())
    for i, s_att in enumerate(s_atts):
        t_att = t_atts[i * k + k - 1]
        s_att = torch.where(s_att <= -1e2, torch.zeros_like(s_att), s_att)
        t_att = torch.where(t_att <= -1e2, torch.zeros_like(t_att), t_att)
        att_loss = att_loss + mse(s_att, t_att)
    reps = [mse(fit_dense(s_rep), t_reps[i * k]) for i, s_rep in enumerate(s_reps)]
    targets = torch.softmax(t_logits, dim=-1)
    cls_loss = (-targets * torch.log_softmax(s_logits, dim=-1)).mean()
    return {
        "attention": att_loss,
        "embedding": reps[0],
        "hidden": sum(reps[1:]),
        "logits": cls_loss,
    }


def make_batch(lengths: list[int], total: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(total)[None] < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(1, 50, mask.shape, generator=generator) * mask
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture
def pair() -> tuple[Any, Any]:
    teacher, student = (
        tiny.bert(layers=LAYERS[who], hidden=WIDTHS[who], heads=HEADS, seed=seed)
        for seed, who in enumerate(("teacher", "student"))
    )
    for model in (teacher, student):  # scores of some size
        for layer in model.bert.encoder.layer:
            layer.attention.self.query.weight.data.mul_(20)
            layer.attention.self.key.weight.data.mul_(20)
    return teacher, student


KINDS = ["attention", "embedding", "hidden", "logits"]


@pytest.mark.parametrize("seed", range(2))
def test_module_equals_the_transcription(pair: tuple[Any, Any], seed: int) -> None:
    teacher, student = pair
    module = DistillModule(teacher, student, KINDS, mode="reference", seed=seed)
    batch = make_batch([9, 4, 1], 11, seed)
    found = module.losses(batch)
    assert module.project is not None
    assert list(module.project.maps) == ["shared"]
    expected = transcription(teacher, student, batch, module.project.maps["shared"])
    for kind in KINDS:
        assert found[kind].item() == pytest.approx(expected[kind].item(), rel=1e-6, abs=1e-6)
    assert found["loss"].item() == pytest.approx(sum(expected.values()).item(), rel=1e-6)
    # The gradients too, of the whole sum.
    weights = [student.bert.embeddings.word_embeddings.weight, *module.project.parameters()]
    ours = torch.autograd.grad(found["loss"], weights)
    theirs = torch.autograd.grad(sum(expected.values()), weights)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_one_projection_is_there_at_equal_widths_and_starts_like_berts_layers() -> None:
    teacher, student = tiny.bert(layers=4, hidden=64, seed=1), tiny.bert(layers=2, hidden=64)
    made = [
        DistillModule(teacher, student, ["hidden"], mode="reference", seed=seed).project
        for seed in (1, 1, 2)
    ]
    weights = [project.maps["shared"].weight for project in made if project is not None]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert weights[0].std().item() == pytest.approx(0.02, rel=0.05)
    assert torch.count_nonzero(made[0].maps["shared"].bias) == 0  # type: ignore[union-attr]


def test_a_real_score_far_below_is_taken_for_a_masked_one() -> None:
    student, teacher = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), -150.0)
    assert reference_attention(student, teacher, torch.ones(1, 1)).item() == 0
