"""The sentence on the final model, and what a reader must not overlook."""

from __future__ import annotations

import pytest

from distill.evaluation.results import Results
from distill.report import summary as words
from distill.report.summary import measured_on


def summary(content):
    return words.summary(Results.model_validate(content))


def notes(content):
    return words.notes(Results.model_validate(content))


def changes(content):
    return words.changes(Results.model_validate(content))


def changed(models, name, **columns):
    """The rows with some columns of one model replaced."""
    at = {3: "score", 7: "bytes", 8: "ms"}
    return [
        tuple(columns.get(at.get(n, ""), value) for n, value in enumerate(row))
        if row[0] == name
        else row
        for row in models
    ]


def test_the_sentence(sample_results, sample_models):
    assert summary(sample_results()) == (
        "onnx-int8: 96.4 % of the teacher at 5.9x smaller and 12.3x faster "
        "(batch 1, length 32, 2 threads)"
    )
    worse = changed(sample_models, "onnx-int8", bytes=181.8e6, ms=17.02)
    assert "at 2.0x larger and 2.0x slower" in summary(sample_results(worse))
    untimed = "onnx-int8: 96.4 % of the teacher at 5.9x smaller"
    assert summary(sample_results(timed=False)) == untimed
    alone = summary(sample_results(sample_models[:1]))
    assert alone == "teacher: accuracy 0.8312; no student yet"


def test_a_step_that_gained_nothing_is_named(sample_results, sample_models):
    models = changed(sample_models, "prune", bytes=69.6e6, ms=4.5)
    assert notes(sample_results(models)) == [
        "prune did not make it smaller: 69.6 to 69.6 MB (from prediction)",
        "prune did not make it faster: 4.35 to 4.50 ms (from prediction)",
    ]


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
    assert first.startswith(
        "scores are on the validation examples, which also chose the checkpoints"
    )
    assert second == "slow calls were timed fewer than 30 times: teacher 3 at b32_l128"


def test_disturbed_timing_and_a_busy_processor_are_told(sample_results):
    results = sample_results()
    results["models"][0]["latency_ms"]["b1_l32"]["p95"] = 352.0
    (note,) = notes(results)
    assert note.startswith("timing was disturbed (p95 is more than 2 times the median: teacher)")
    results = sample_results()
    results["machine"]["busy_percent"] = 49.8
    (note,) = notes(results)
    assert note.startswith("timing was disturbed (other programs kept the processor 50 % busy), so")


def _noisy(results, *changes):
    told = [
        {"model": model, "than": than, "change": change, "low": low, "high": high}
        for model, than, change, low, high in changes
    ]
    return {**results, "changes": told}


def test_a_teacher_below_the_floor_is_told_so(sample_results, sample_models):
    linear = ("linear", "evaluate", "tf-idf", 0.84, 9e4, 9e4, 900, 1.1e6, 0.3, 4.0)
    results = sample_results([linear, *sample_models])
    below = notes(_noisy(results, ("teacher", "linear", -0.0088, -0.02, 0.004)))
    assert below[0] == (
        "the teacher does not beat the linear model (0.8312 vs 0.8400): nothing distilled from it "
        "is worth shipping"
    )
    chance = notes(_noisy(results, ("teacher", "majority", 0.01, -0.004, 0.02)))
    assert chance[0] == (
        "the teacher does not beat the majority class by more than chance (0.8312 vs 0.8212): "
        "nothing distilled from it is worth shipping"
    )
    told = summary(_noisy(results, ("teacher", "linear", -0.0088, -0.02, 0.004)))
    assert told.endswith("threads); the teacher does not beat the linear model")
    fine = _noisy(results, ("teacher", "linear", 0.03, 0.01, 0.05))
    assert "does not beat" not in summary(fine)
    assert not any("does not beat" in note for note in notes(fine))
    final = _noisy(results, ("onnx-int8", "linear", 0.001, -0.01, 0.012))
    assert (
        "onnx-int8 does not beat the linear model by more than chance (0.8013 vs 0.8400)"
        in (notes(final)[0])
    )


def test_steps_are_told_with_what_may_be_chance(sample_results):
    results = _noisy(
        sample_results(),
        ("prediction", "teacher", -0.0191, -0.03, -0.01),
        ("prune", "prediction", -0.0079, -0.02, 0.002),
    )
    assert changes(results) == (
        "in points of accuracy, step by step: prediction -1.9 (beyond noise), prune -0.8 "
        "(within noise)"
    )
    assert changes(sample_results()) == ""


def test_a_step_that_loses_and_brings_nothing_is_said_aloud(sample_results, sample_models):
    useless = [*sample_models]
    useless[-3] = ("prune", "prune", "transformers", 0.78, 17.3e6, 5.5e6, 174e6, 69.6e6, 4.4, 60.3)
    results = _noisy(sample_results(useless), ("prune", "prediction", -0.0321, -0.04, -0.02))
    assert (
        "prune lost 3.2 points of accuracy, beyond noise, and brought neither speed nor size (from "
        "prediction): leave the step out"
    ) in notes(results)
    within = _noisy(sample_results(useless), ("prune", "prediction", -0.0321, -0.07, 0.01))
    assert not any("leave the step out" in note for note in notes(within))


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["avx2", "avx512f", "avx512_vnni", "avx512_bf16"], "with avx512, vnni, bf16"),
        (["avx2", "fma"], "with avx2, no vnni"),
        (["asimd", "asimddp", "i8mm"], "with neon, i8mm"),
        ([], "CPU 9; 1 thread"),
    ],
)
def test_the_machine_in_one_line(flags, wanted):
    told = measured_on({"cpu": "CPU 9", "isa": flags, "threads": 1})
    assert told.startswith("measured on CPU 9")
    assert told.endswith("; 1 thread")
    assert wanted in told
