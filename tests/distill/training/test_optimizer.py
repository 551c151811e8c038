from __future__ import annotations

import math

import pytest
import tiny_training as tiny
import torch
from torch import nn
from transformers import BertForMaskedLM

from distill.recipe.schema import TrainConfig
from distill.tasks.classification.task import Classification
from distill.training.base import FinetuneModule
from distill.training.optimizer import make_optimizer, rate_factor
from teachers.freeze import freeze_lower


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ("constant", [0.5, *[1.0] * 9]),
        ("cosine", [0.5, 1.0, *[0.5 * (1 + math.cos(math.pi * k / 8)) for k in range(8)]]),
    ],
)
def test_rate_rises_and_falls(schedule: str, expected: list[float]) -> None:
    config = TrainConfig(warmup=0.2, schedule=schedule)  # type: ignore[arg-type]
    factor = rate_factor(config, 10)
    assert [factor(step) for step in range(10)] == pytest.approx(expected)


def test_biases_norms_and_frozen_parameters() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[2].weight.requires_grad_(False)
    optimizer = make_optimizer(model, TrainConfig(weight_decay=0.1, lr=1e-3))
    decayed, plain = optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert [p.shape for p in plain["params"]] == [(4,), (4,), (4,), (2,)]
    assert decayed["fused"] is True


def test_fused_steps_are_adamw() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 3)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    config = TrainConfig(lr=0.1, weight_decay=0.5)
    optimizer = make_optimizer(model, config)
    model(torch.ones(2, 3)).square().sum().backward()
    assert model.weight.grad is not None
    step = model.weight.grad / (model.weight.grad.abs() + 1e-8)
    optimizer.step()
    assert torch.allclose(model.weight, weight * (1 - 0.1 * 0.5) - 0.1 * step, atol=1e-6)
    assert model.bias.grad is not None
    assert torch.allclose(model.bias, bias - 0.1 * model.bias.grad.sign(), atol=1e-6)


def rates(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each parameter by its name."""
    found = {
        id(p): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    return {name: found[id(p)] for name, p in model.named_parameters() if id(p) in found}


def test_layer_decay_falls_from_the_head_to_the_embeddings() -> None:
    model = tiny.bert(layers=3)
    module = FinetuneModule(model, Classification(["no", "yes"]))
    optimizer = make_optimizer(module, TrainConfig(lr=1e-3, layer_decay=0.5, weight_decay=0.1))
    found = rates(optimizer, model)
    assert set(found) == {name for name, _ in model.named_parameters()}
    expected = {
        "bert.embeddings.word_embeddings.weight": (1e-3 / 16, 0.1),
        "bert.embeddings.LayerNorm.weight": (1e-3 / 16, 0.0),
        "bert.encoder.layer.0.attention.self.query.weight": (1e-3 / 8, 0.1),
        "bert.encoder.layer.1.output.dense.bias": (1e-3 / 4, 0.0),
        "bert.encoder.layer.2.output.dense.weight": (1e-3 / 2, 0.1),
        "bert.pooler.dense.weight": (1e-3, 0.1),
        "classifier.bias": (1e-3, 0.0),
    }
    for name, wanted in expected.items():
        assert found[name] == pytest.approx(wanted), name
    for name, (rate, _) in found.items():
        layer = int(name.split(".")[3]) if ".layer." in name else -1 if "embeddings" in name else 3
        assert rate == pytest.approx(1e-3 * 0.5 ** (3 - layer)), name
    # The curves show the first group's rate: the head's.
    assert optimizer.param_groups[0]["lr"] == 1e-3
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(found)


def test_layer_decay_beside_frozen_layers_and_a_tied_head() -> None:
    model = freeze_lower(tiny.bert(layers=3), 2)
    found = rates(make_optimizer(model, TrainConfig(lr=1e-3, layer_decay=0.5)), model)
    assert {rate for rate, _ in found.values()} == {1e-3, 1e-3 / 2}
    masked = BertForMaskedLM(tiny.bert(layers=1).config)
    found = rates(make_optimizer(masked, TrainConfig(lr=1e-3, layer_decay=0.5)), masked)
    assert found["bert.embeddings.word_embeddings.weight"][0] == 1e-3 / 4
    assert found["cls.predictions.transform.dense.weight"][0] == 1e-3
