"""Results over seeds: the spread, models that not every seed made, and files that are not it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from distill.errors import RunFolderError
from distill.evaluation.results import Results
from distill.evaluation.seeds import SeedResults, read_seed_results, summarise, write_seed_results
from distill.evaluation.spread import mean_and_deviation, spread
from distill.report.seeds_table import notes


@pytest.fixture
def sample(sample_results, sample_models) -> Callable[..., SeedResults]:
    """Seeds 1, 2, ... whose scores differ by `changes`; the last of seed `drop` is left out."""

    def build(*changes: float, drop: int | None = None, **rest) -> SeedResults:
        found = {}
        for seed, change in enumerate(changes, start=1):
            models = [(*m[:3], m[3] + change, *m[4:]) for m in sample_models]
            models = models[:-1] if seed == drop else models
            found[seed] = Results.model_validate(sample_results(models, **rest))
        return summarise(found, list(found))

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


def test_gains_are_paired_seed_by_seed(sample) -> None:
    results = sample(0.0, 0.05, -0.02)
    final, teacher = results.final, results.models[0]
    assert final.name == "onnx-int8"
    # Teacher, baseline and student of a seed move together here: nothing of it is in the gain.
    assert final.score.deviation == pytest.approx(teacher.score.deviation)
    assert final.gain is not None
    assert final.gain.mean == pytest.approx(0.8013 - 0.7893)
    assert final.gain.deviation == pytest.approx(0, abs=1e-12)
    assert teacher.gain is None
    retention = [(0.8013 + c) / (0.8312 + c) for c in (0.0, 0.05, -0.02)]
    assert final.retention is not None
    assert list(final.retention.values.values()) == pytest.approx(retention)


def test_a_model_that_not_every_seed_made_has_fewer(sample, tmp_path: Path) -> None:
    results = sample(0.0, 0.05, 0.01, drop=1)
    last = next(row for row in results.models if row.name == "onnx-int8")
    assert (last.score.n, list(last.score.values)) == (2, [2, 3])
    assert results.final.name == "onnx"
    write_seed_results(tmp_path, results)
    assert read_seed_results(tmp_path) == results


def test_other_files_are_refused(sample, sample_results, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no seed is done yet: distill resume"):
        read_seed_results(tmp_path)
    for content in ("{", json.dumps(sample_results())):
        (tmp_path / "results.json").write_text(content, "utf-8")
        with pytest.raises(RunFolderError, match="not the results of several seeds"):
            read_seed_results(tmp_path)
    with pytest.raises(ValueError, match="kind"):
        Results.model_validate(sample(0.0, 0.1).model_dump(by_alias=True))


def test_a_disturbed_timing_is_kept_in_mind(sample, sample_results) -> None:
    assert sample(0.0, 0.01).disturbed == []
    content = Results.model_validate(sample_results())
    row = content.models[-1]
    time = row.latency_ms["b1_l32"]
    slow = time.model_copy(update={"p95": 2.1 * time.p50})
    row = row.model_copy(update={"latency_ms": row.latency_ms | {"b1_l32": slow}})
    other = content.model_copy(update={"models": [*content.models[:-1], row]})
    found = summarise({4: content, 5: other}, [4, 5])
    assert found.disturbed == [5]
    assert any("disturbed with seed 5" in note for note in notes(found))
