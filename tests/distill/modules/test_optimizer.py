from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from distill.modules.optimizer import make_optimizer, rate_factor
from distill.recipe.schema import TrainConfig


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


def test_rate_of_a_single_step_is_the_peak() -> None:
    assert rate_factor(TrainConfig(warmup=0.1), 1)(0) == 1.0


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
