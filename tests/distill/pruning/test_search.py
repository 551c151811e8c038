from __future__ import annotations

import itertools

import numpy as np
import pytest
import tiny_pruning as tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.evaluation.cost import macs
from distill.pruning.masks import Masks, layer_sizes
from distill.pruning.search import (
    Scores,
    keep_counts,
    keep_within,
    left_of,
    on_one_scale,
)
from distill.pruning.surgery import slice_model
from distill.pruning.units import (
    BudgetGoal,
    LinearCost,
    ShareGoal,
    macs_cost,
    parameters_cost,
    progress,
)
from distill.system.errors import ModelError


def scores(heads: list[list[float]], ffn: list[list[float]]) -> Scores:
    return Scores(*([torch.tensor(row).float() for row in rows] for rows in (heads, ffn)))


def worth(found: Masks, given: Scores) -> float:
    parts = zip([*found.heads, *found.ffn], [*given.heads, *given.ffn], strict=True)
    return float(sum(row[mask].double().sum() for mask, row in parts))


importance = st.floats(0.0, 10.0, allow_nan=False, width=32)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    heads=st.lists(importance, min_size=4, max_size=4),
    ffn=st.lists(importance, min_size=6, max_size=6),
    budget=st.floats(0.5, 25.0),
)
def test_the_best_choice_within_the_budget(heads, ffn, budget):
    given_scores = scores([heads[:2], heads[2:]], [ffn[:3], ffn[3:]])
    cost = LinearCost(head=3.0, neuron=1.5, fixed=0.5)
    found = keep_within(given_scores, cost=cost, budget=budget)
    spent = cost(np.array(found.heads_kept), np.array(found.ffn_kept))
    assert spent <= budget * (1 + 1e-9)
    best = 0.0  # by trying every choice there is
    for kept in itertools.product([False, True], repeat=10):
        h, f = sum(kept[:4]), sum(kept[4:])
        if 0.5 + 3.0 * h + 1.5 * f <= budget:
            best = max(best, sum(v for v, k in zip([*heads, *ffn], kept, strict=True) if k))
    assert worth(found, given_scores) == pytest.approx(best, rel=1e-5, abs=1e-5)


def test_uniform_leaves_every_layer_the_same_size():
    given_scores = scores([[9, 1, 5], [8, 7, 6]], [[1, 2, 3, 4], [9, 9, 9, 9]])
    cost = LinearCost(head=2.0, neuron=1.0)
    found = keep_within(given_scores, cost=cost, budget=14.0, uniform=True)
    assert found.heads_kept in ([1, 1], [2, 2], [3, 3])
    assert len(set(found.ffn_kept)) == 1
    assert cost(np.array(found.heads_kept), np.array(found.ffn_kept)) <= 14.0
    uneven = keep_within(given_scores, cost=cost, budget=14.0)
    assert worth(uneven, given_scores) >= worth(found, given_scores)
    with pytest.raises(ModelError, match=r"budget of 5 .* smallest encoder costs 6"):
        keep_within(given_scores, cost=cost, budget=5.0, uniform=True)
    nothing = keep_within(given_scores, cost=cost, budget=0.0)
    assert nothing.heads_kept == [0, 0]
    assert nothing.ffn_kept == [0, 0]


def test_costs_are_those_of_the_evaluation():
    model = tiny.make_model()
    masks = Masks(
        [torch.arange(4) < n for n in (3, 0, 4)], [torch.arange(10) < n for n in (10, 7, 0)]
    )
    for part in (model, slice_model(model, masks)):
        heads, ffn = (np.array(sizes) for sizes in layer_sizes(part))
        outside = model.config.hidden_size * (model.config.hidden_size + 2)  # pooler, classifier
        assert macs_cost(model, 9)(heads, ffn) == macs(part, 9) - outside
        expected = sum(p.numel() for p in part.bert.encoder.parameters())
        assert parameters_cost(model)(heads, ffn) == expected


def test_scores_that_only_rank_are_worth_what_units_cost():
    found = on_one_scale(scores([[1, 3], [10, 30]], [[0.1, 0.3], [0, 0]]), head=8.0, neuron=2.0)
    assert [row.tolist() for row in found.heads] == [[4, 12], [4, 12]]
    assert [[round(v, 5) for v in row.tolist()] for row in found.ffn] == [[1, 3], [2, 2]]


def test_counts_of_layers_or_of_all_together():
    given_scores = scores([[9, 8, 7], [1, 2, 3]], [[1, 1], [1, 2]])
    each = keep_counts(given_scores.heads, [1, 2])
    assert [m.tolist() for m in each] == [[True, False, False], [False, True, True]]
    assert [m.tolist() for m in keep_counts(given_scores.heads, 3)] == [[True] * 3, [False] * 3]
    together = keep_counts(given_scores.ffn, 1)
    assert [m.tolist() for m in together] == [[False, False], [False, True]]
    assert left_of([12, 12, 0], 0.33, uniform=True) == [8, 8, 0]
    assert left_of([12, 12], 0.99, uniform=True) == [1, 1]
    assert left_of([12, 12], 0.33, uniform=False) == 16


def test_schedules_are_nni_s():
    nni = pytest.importorskip("nni.compression.pruning.scheduled_pruner")
    for name, pruner in (("linear", nni.LinearPruner), ("agp", nni.AGPPruner)):

        class Fake:
            total_times, _initial_ratio = 5, 0.0
            found: list[float] = []  # noqa: RUF012

            def _update_sparse_goals_by_ratio(self, ratio):
                self.found.append(ratio)

        for done in range(1, 6):
            pruner.update_sparse_goals(Fake(), done)
        assert Fake.found == pytest.approx([progress(name, r, 5) for r in range(1, 6)])
    assert progress("one-shot", 1, 1) == 1.0


def test_goals_are_reached_step_by_step():
    model = tiny.make_model()
    sizes = layer_sizes(model)
    random = torch.Generator().manual_seed(0)
    draw = lambda rows: [torch.rand(n, generator=random) for n in rows]  # noqa: E731
    goal = ShareGoal(sizes, 0.5, 0.4, uniform=True)
    current = model
    for part in (0.5, 0.8, 1.0):
        current = slice_model(current, goal.masks(Scores(*map(draw, layer_sizes(current))), part))
    assert layer_sizes(current) == ([2] * 3, [6] * 3)
    cost = macs_cost(model, 8)
    whole = cost(*map(np.array, sizes))
    budget = BudgetGoal(sizes, cost, 0.4 * whole, uniform=False, ranked=True)
    assert budget.whole == whole
    current, spent = model, []
    for part in (0.5, 1.0):
        masks = budget.masks(Scores(*map(draw, layer_sizes(current))), part)
        current = slice_model(current, masks)
        spent.append(cost(*map(np.array, layer_sizes(current))) / whole)
    assert 0.6 < spent[0] <= 0.7
    assert 0.3 < spent[1] <= 0.4
