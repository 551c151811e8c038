"""The sentence on the final model, and what a reader must not overlook."""

from __future__ import annotations

import pytest

from distill.report.summary import notes, summary


def changed(models, name, **columns):
    """The rows with some columns of one model replaced (score 3, bytes 7, ms 8)."""
    at = {"score": 3, "parameters": 4, "bytes": 7, "ms": 8}
    out = []
    for row in models:
        values = list(row)
        if row[0] == name:
            for column, value in columns.items():
                values[at[column]] = value
        out.append(tuple(values))
    return out


def test_the_sentence(sample_results):
    assert summary(sample_results()) == (
        "onnx-int8: 96.4 % of the teacher at 5.9x smaller and 12.3x faster "
        "(batch 1, length 32, 2 threads)"
    )


def test_the_sentence_does_not_call_slow_fast_or_large_small(sample_results, sample_models):
    models = changed(sample_models, "onnx-int8", bytes=181.8e6, ms=17.02)
    assert "at 2.0x larger and 2.0x slower" in summary(sample_results(models))


def test_the_sentence_without_timing_or_student(sample_results, sample_models):
    assert summary(sample_results(timed=False)) == (
        "onnx-int8: 96.4 % of the teacher at 5.9x smaller"
    )
    assert summary(sample_results(sample_models[:1])) == (
        "teacher: accuracy 0.8312; no student yet"
    )


def test_nothing_is_said_of_a_run_in_order(sample_results):
    assert notes(sample_results()) == []


def test_a_step_that_gained_nothing_is_named(sample_results, sample_models):
    models = changed(sample_models, "prune", bytes=69.6e6, ms=4.5)
    assert notes(sample_results(models)) == [
        "prune did not make it smaller: 69.6 to 69.6 MB (from prediction)",
        "prune did not make it faster: 4.35 to 4.50 ms (from prediction)",
    ]


def test_fp32_onnx_is_not_expected_to_be_smaller_but_int8_is(sample_results, sample_models):
    models = changed(sample_models, "onnx-int8", bytes=60.6e6)
    assert notes(sample_results(models)) == [
        "onnx-int8 did not make it smaller: 60.6 to 60.6 MB (from onnx)"
    ]


def test_a_stage_that_only_trains_further_promises_neither(sample_results, sample_models):
    # intermediate -> prediction: the same size, and 4.40 to 4.35 ms.
    assert not any("prediction" in note for note in notes(sample_results()))


def test_below_the_baseline_is_said_but_not_of_a_model_on_its_way(sample_results, sample_models):
    found = notes(sample_results(changed(sample_models, "onnx-int8", score=0.7)))
    assert found == [
        "below the baseline (0.7893), which was trained on labels only: onnx-int8 (0.7000)"
    ]


def test_scores_on_validation_rows_and_fewer_calls_are_told(sample_results):
    machine = {"timed_calls": 30, "fewer_calls": {"teacher": {"b32_l128": 3}}}
    results = sample_results(split="validation")
    results["machine"] |= machine
    first, second = notes(results)
    assert first.startswith("scores are on the validation rows, which also chose the checkpoints")
    assert second == "slow calls were timed fewer than 30 times: teacher 3 at b32_l128"


@pytest.mark.parametrize(("threads", "text"), [(1, "1 thread)"), (4, "4 threads)"), (None, "32)")])
def test_threads_are_told_where_known(sample_results, threads, text):
    results = sample_results()
    results["machine"]["threads"] = threads
    assert summary(results).endswith(text)


def test_disturbed_timing_is_told(sample_results):
    results = sample_results()
    results["models"][0]["latency_ms"]["b1_l32"]["p95"] = 352.0
    (note,) = notes(results)
    assert note.startswith("timing was disturbed (p95 is more than 2 times the median: teacher)")
