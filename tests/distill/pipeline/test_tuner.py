"""NNI's tuners and assessors as a search asks them."""

from __future__ import annotations

import statistics
import sys
from typing import Any

import pytest

from distill.pipeline.tuner import Assessor, Tuner
from distill.recipe.schema import Search
from distill.system.errors import UserError


def peak(strategy: str) -> list[tuple[dict[str, Any], float]]:
    """What a tuner proposes for a score with its peak at x = .3 and 'b', and the scores."""
    space = {"x": {"uniform": [0.0, 1.0]}, "y": ["a", "b", "c"]}
    tuner = Tuner(Search.model_validate({"space": space, "strategy": strategy, "seed": 3}))
    found = []
    for number in range(90):
        values = tuner.propose(number)
        assert values is not None
        found.append((values, -((values["x"] - 0.3) ** 2) - (values["y"] != 1)))
        tuner.learn(number, found[-1][1])
    return found


@pytest.mark.parametrize("strategy", ["tpe", "evolution", "anneal"])
def test_a_tuner_learns_and_repeats_itself(strategy):
    if strategy == "anneal":
        pytest.importorskip("hyperopt")
    assert peak(strategy) == peak(strategy)

    def late(strategy: str) -> float:
        return statistics.fmean(score for _, score in peak(strategy)[45:])

    assert late(strategy) > 0.7 * late("random")


def test_a_grid_ends():
    space = {"a": [1, 2], "b": ["x", None]}
    tuner = Tuner(Search.model_validate({"space": space, "strategy": "grid"}))
    found = [tuner.propose(number) for number in range(5)]
    assert found[4] is None
    assert len({tuple(one.items()) for one in found[:4]}) == 4


def test_median_stop_ends_what_stays_below():
    median = Assessor("median")
    for number, scores in enumerate([[0.6, 0.7], [0.7, 0.8], [0.5, 0.9]]):
        median.ended(str(number), scores, whole=True)
    assert median.stops("low", [0.4])
    assert not median.stops("high", [0.75])
    assert not median.stops("new", [])


def test_curve_ends_what_is_on_its_way_to_less():
    curve = Assessor("curve")

    def scores(most: float, count: int) -> list[float]:
        return [most * (1 - 0.5 * 0.7**n) for n in range(count)]

    curve.ended("first", scores(0.9, 20), whole=True)
    assert curve.stops("low", scores(0.5, 10))
    assert not curve.stops("high", scores(0.95, 10))
    assert not curve.stops("early", scores(0.1, 5))


def test_hyperband_trains_the_best_third_three_times_longer():
    budget = {"epochs": [2, 18]}
    search = {"space": {"x": {"uniform": [0.0, 1.0]}, "y": ["a", "b"]}, "strategy": "hyperband"}

    def proposed() -> list[dict[str, Any]]:
        tuner, found = Tuner(Search.model_validate({**search, "budget": budget})), []
        for number in range(22):
            values = tuner.propose(number)
            assert values is not None
            found.append(values)
            tuner.learn(number, values["x"])
        return found

    found = proposed()
    # Three brackets: 9 short ones, the best 3 of them, the best; 5 and their best; 3 long ones.
    assert [one["epochs"] for one in found[:13]] == [2] * 9 + [6] * 3 + [18]
    assert [one["epochs"] for one in found[13:]] == [6] * 5 + [18] + [18] * 3
    drawn = sorted((one["x"] for one in found[:9]), reverse=True)
    assert [one["x"] for one in found[9:13]] == [*drawn[:3], drawn[0]]
    assert proposed() == found


def test_anneal_without_hyperopt_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hyperopt", None)
    monkeypatch.delitem(sys.modules, "nni.algorithms.hpo.hyperopt_tuner", raising=False)
    with pytest.raises(UserError, match=r"pip install 'hyperopt>=0\.3'"):
        Tuner(Search.model_validate({"space": {"x": [1]}, "strategy": "anneal"}))
