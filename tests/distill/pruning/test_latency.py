from __future__ import annotations

import copy

import numpy as np
import pytest
import tiny_pruning as tiny
import torch

from distill.pruning import latency
from distill.pruning.latency import LatencyTable, latency_table, measured_ms
from distill.pruning.masks import layer_sizes
from distill.pruning.search import Scores
from distill.pruning.units import BudgetGoal
from students.heads import class_of, head_of
from students.pooling import POOLING

SIZES = ([4, 4, 4], [10, 10, 10]), ([2, 0, 4], [5, 0, 0]), ([3, 1, 2], [7, 2, 9])


def body_ms(heads, ffn):
    return sum(0.1 * h + 0.01 * f for h, f in zip(heads, ffn, strict=True))


def fake(models, *, length, threads):
    """A machine on which a head takes 0.1 ms, a neuron 0.01, the rest 0.2; the last layer 0.3."""
    found = {}
    for name, model in models.items():
        heads, ffn = layer_sizes(model)
        found[name] = 0.2 + body_ms(heads[:-1], ffn[:-1]) + 0.3 * heads[-1] / 4
    return found


def test_a_table_tells_what_was_measured_and_what_lies_between(monkeypatch, tmp_path):
    monkeypatch.setattr(latency, "measured_ms", fake)
    model, file = tiny.make_model(), tmp_path / "latency.json"
    table = latency_table(model, length=8, threads=1, file=file)
    assert table.heads == [0, 2, 4]
    assert table.ffn == [0, 5, 10]
    for heads, ffn in SIZES:
        told = 0.2 + body_ms(heads[:-1], ffn[:-1]) + 0.3 * heads[-1] / 4 + 0.01 * ffn[-1] / 8
        assert table(np.array(heads), np.array(ffn)) == pytest.approx(told, rel=1e-4)
    # A run that is stopped does not measure again; another length does.
    monkeypatch.setattr(latency, "measured_ms", lambda *_, **__: pytest.fail("measured again"))
    assert latency_table(model, length=8, threads=1, file=file) == table
    monkeypatch.setattr(latency, "measured_ms", fake)
    assert latency_table(model, length=9, threads=1, file=file).length == 9


def fake_of_every_token(models, *, length, threads):
    """The same machine, where the last layer is like the others."""
    return {
        name: 0.2 + body_ms(*layer_sizes(model)) + 0.05 * (head_of(model) == "spans")
        for name, model in models.items()
    }


@pytest.mark.parametrize(
    ("head", "pooling"),
    [("tokens", None), ("spans", None), ("vectors", "mean"), ("vectors", "cls")],
)
def test_heads_that_read_every_token_have_a_whole_last_layer(monkeypatch, tmp_path, head, pooling):
    config = copy.deepcopy(tiny.make_model().config)
    if pooling:
        setattr(config, POOLING, pooling)
    model = class_of(config, head)(config)
    seen = []

    def measured(models, **rest):
        seen.extend(models.values())
        return (fake if pooling == "cls" else fake_of_every_token)(models, **rest)

    monkeypatch.setattr(latency, "measured_ms", measured)
    table = latency_table(model, length=8, threads=1, file=tmp_path / "latency.json")
    assert {head_of(one) for one in seen} == {head}
    assert all(getattr(one.config, POOLING, None) == pooling for one in seen)
    if pooling == "cls":  # of the last layer the first token is read alone
        assert table.last_ms == pytest.approx(0.3)
        return
    assert table.last_ms is None
    assert latency_table(model, length=8, threads=1, file=tmp_path / "latency.json") == table
    for heads, ffn in SIZES:
        told = 0.2 + body_ms(heads, ffn) + 0.05 * (head == "spans")
        assert table(np.array(heads), np.array(ffn)) == pytest.approx(told, rel=1e-4)


def test_a_latency_is_a_budget(monkeypatch, tmp_path):
    monkeypatch.setattr(latency, "measured_ms", fake)
    model = tiny.make_model()
    table = latency_table(model, length=8, threads=1, file=tmp_path / "latency.json")
    random = torch.Generator().manual_seed(0)
    scores = Scores(*([torch.rand(n, generator=random) for n in s] for s in layer_sizes(model)))
    for budget in (0.5, 0.8, 1.1):
        goal = BudgetGoal(layer_sizes(model), table, budget, uniform=False, ranked=False)
        masks = goal.masks(scores, 1.0)
        told = table(np.array(masks.heads_kept), np.array(masks.ffn_kept))
        assert 0.8 * budget < told <= budget * (1 + 1e-6)


@pytest.mark.slow
def test_models_are_timed_as_int8_in_turns():
    told = measured_ms({"a": tiny.make_model(), "b": tiny.make_model(4)}, length=8, threads=1)
    assert set(told) == {"a", "b"}
    assert all(0 < ms < 1000 for ms in told.values())
    assert LatencyTable([0, 1], [0, 1], [[0, 0], [0, 1.0]], 0.5, 0.0, 8, 1, 2.0)(
        np.array([1, 0]), np.array([1, 0])
    ) == pytest.approx(3.0)
