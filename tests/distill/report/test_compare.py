"""Runs side by side."""

from __future__ import annotations

import pytest

from distill.report.compare import compare_table, comparison, differences


@pytest.fixture
def runs(sample, sample_models):
    return {"first": sample(), "second": sample(sample_models[:4])}


def test_final_models_and_every_model_by_name(runs):
    found = comparison(runs)
    assert [(run["run"], run["final"]["name"]) for run in found["runs"]] == [
        ("first", "onnx-int8"), ("second", "prediction"),
    ]  # fmt: skip
    assert found["models"]["prune"]["second"] is None
    assert found["models"]["prediction"]["second"]["score"] == 0.8121
    assert found["notes"] == []


def test_the_table_tells_changes_against_the_first(runs):
    lines = compare_table(runs).splitlines()
    assert lines[1].split()[:5] == ["first", "onnx-int8", "accuracy", "0.8013", "+0.0000"]
    assert lines[2].split()[:5] == ["second", "prediction", "accuracy", "0.8121", "+0.0108"]
    assert any(line.startswith("prune") and line.endswith("-") for line in lines)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"metric": "macro_f1"}, "different metric, so scores do not compare"),
        ({"split": "validation"}, "different split, so scores do not compare"),
        ({"machine": {"cpu": "Other", "threads": 2}}, "different processor, so latencies"),
        ({"machine": {"cpu": "Some Processor 9", "threads": 8}}, "different threads, so latencies"),
    ],
)
def test_what_does_not_compare_is_said(runs, sample, change, told):
    runs["second"] = sample(**change)
    (note,) = differences(runs)
    assert note.startswith(told)
    assert ("+0.0" in compare_table(runs)) == ("latencies" in note)
