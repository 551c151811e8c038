"""Numbers over seeds: the spread, paired gains, and models that not every seed made."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from distill.evaluation.over_seeds import ModelTable, mean_and_deviation, model_table, spread
from distill.evaluation.results import Results


@pytest.fixture
def sample(sample_results, sample_models) -> Callable[..., ModelTable]:
    """Seeds 1, 2, ... whose scores differ by `changes`; the last of seed `drop` is left out."""

    def build(*changes: float, drop: int | None = None, **rest) -> ModelTable:
        found = {}
        for seed, change in enumerate(changes, start=1):
            models = [(*m[:3], m[3] + change, *m[4:]) for m in sample_models]
            models = models[:-1] if seed == drop else models
            found[seed] = Results.model_validate(sample_results(models, **rest))
        return model_table("", "", found)

    return build


def test_mean_and_sample_standard_deviation() -> None:
    values = [0.8, 0.83, 0.75, 0.9]
    mean = sum(values) / 4
    expected = math.sqrt(sum((v - mean) ** 2 for v in values) / 3)
    assert mean_and_deviation(values) == (pytest.approx(mean), pytest.approx(expected))
    assert mean_and_deviation([0.5]) == (0.5, None)
    assert mean_and_deviation([]) == (None, None)
    one = spread({7: 0.5, 8: None})
    assert one is not None
    assert (one.mean, one.deviation, one.n, one.values) == (0.5, None, 1, {7: 0.5})
    assert spread({7: None}) is None


def test_a_model_that_not_every_seed_made_has_fewer(sample) -> None:
    results = sample(0.0, 0.05, 0.01, drop=1)
    last = next(row for row in results.models if row.name == "onnx-int8")
    assert (last.score.n, list(last.score.values)) == (2, [2, 3])
    assert results.final.name == "onnx"
