"""What each step cost and gained, by hand."""

from __future__ import annotations

import pytest

from distill.evaluation.ledger import ledger
from distill.evaluation.results import Results


def steps(results):
    return {step.model.name: step for step in ledger(Results.model_validate(results))}


def test_the_chain_of_steps(sample_results):
    found = steps(sample_results())
    # Inner layers are a step on the way to the prediction; the baseline is none.
    assert [(name, step.before and step.before.name) for name, step in found.items()] == [
        ("teacher", None),
        ("prediction", "teacher"),
        ("prune", "prediction"),
        ("onnx", "prune"),
        ("onnx-int8", "onnx"),
    ]


def test_factors_of_a_step(sample_results):
    step = steps(sample_results())["onnx-int8"]
    assert step.faster == pytest.approx(1.02 / 0.69)
    assert step.smaller == pytest.approx(60.6 / 15.3)
    assert step.latency.p95 == pytest.approx(0.69 * 1.09)
    assert step.throughput == pytest.approx(32000 / 13.1)


@pytest.mark.parametrize(
    ("size", "milliseconds", "told"),
    [
        (15.3e6, 0.69, ""),
        (60.6e6, 1.02, "did not help: neither faster nor smaller"),
        (70e6, 2.0, "did not help: slower and larger"),
        (15.3e6, 2.0, "smaller, but slower"),
        (90e6, 0.5, "faster, but larger"),
    ],
)
def test_what_did_not_help_is_said(sample_results, sample_models, size, milliseconds, told):
    *rest, last = sample_models
    changed = (*last[:7], size, milliseconds, last[9])
    assert steps(sample_results([*rest, changed]))["onnx-int8"].verdict == told
