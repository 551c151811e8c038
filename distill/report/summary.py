"""What the numbers say in words: one sentence on the final model, and what is not as hoped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distill.evaluation.cells import latency_cell, split_cell, told_length
from distill.evaluation.over_seeds import DISTURBED
from distill.evaluation.results import ModelRow, Results, as_results, is_student, is_teacher
from distill.report import numbers

#: Less gain than this (2 %) is within the noise of a measurement and counts as none.
_NO_GAIN = 1.02


def summary(results: Results | Mapping[str, Any]) -> str:
    """One sentence: what the final model keeps, and how much smaller and faster it is.

    Example:
        ``onnx-int8: 96.4 % of the teacher at 6.2x smaller and 12.3x faster (batch 1, length 32,
        2 threads)``
    """
    results = as_results(results)
    final = results.final
    if is_teacher(final.name):
        return f"{final.name}: {results.metric} {numbers.score(final.score)}; no student yet"
    kept = (
        f"{numbers.percent(final.retention)} of the teacher"
        if final.retention is not None
        else f"{results.metric} {numbers.score(final.score)}"
    )
    text = f"{final.name}: {kept} at {_compared(final.ratios.size, 'smaller', 'larger')}"
    if final.ratios.latency is None:
        return text
    faster = _compared(final.ratios.latency, "faster", "slower")
    if results.reference is not None and final.against and final.against.latency:
        than = _compared(final.against.latency, "faster", "slower")
        faster += f", {than} than {results.reference.name}"
    return f"{text} and {faster} ({conditions(results)})"


def _compared(ratio: float, better: str, worse: str) -> str:
    if ratio >= 1:
        return f"{numbers.times(ratio)} {better}"
    return f"{numbers.times(1 / ratio)} {worse}"


def conditions(results: Results) -> str:
    """Under what the told latency was measured, such as ``batch 1, length 32, 2 threads``."""
    cell = latency_cell(set(results.teacher.latency_ms))
    if cell is None:
        return "speed not measured"
    batch, _ = split_cell(cell)
    threads = results.machine.get("threads")
    tail = f", {threads} thread{'s' if threads != 1 else ''}" if threads else ""
    return f"batch {batch}, {told_length(cell)}{tail}"


def notes(results: Results | Mapping[str, Any]) -> list[str]:
    """What a reader should not overlook, one line each; an empty list where all is well."""
    results = as_results(results)
    students = [row for row in results.models if is_student(row.name)]
    found = []
    for before, after in zip([results.teacher, *students], students, strict=False):
        found += _no_gain(before, after)
    found += _against_baseline(results, students)
    return found + scored_rows(results.split) + _fewer_calls(results) + _disturbed(results)


def scored_rows(split: str) -> list[str]:
    """What to know of scores on rows that chose something."""
    if split == "test":
        return []
    return [
        f"scores are on the {split} rows, which also chose the checkpoints; "
        "name data.test for rows that chose nothing"
    ]


def _no_gain(before: ModelRow, after: ModelRow) -> list[str]:
    """Which of the gains that a step promises it did not bring."""
    if (before.parameters, before.format) == (after.parameters, after.format):
        return []  # trained further, which promises neither
    found = []
    smaller = before.bytes / after.bytes
    if (
        after.format not in ("onnx", "openvino") and smaller < _NO_GAIN
    ):  # fp32 ONNX only promises speed
        sizes = f"{numbers.megabytes(before.bytes)} to {numbers.megabytes(after.bytes)} MB"
        found.append(f"{after.name} did not make it smaller: {sizes} (from {before.name})")
    cell = latency_cell(set(before.latency_ms) & set(after.latency_ms))
    if cell is not None:
        old, new = before.latency_ms[cell].p50, after.latency_ms[cell].p50
        if old / new < _NO_GAIN:
            change = f"{numbers.milliseconds(old)} to {numbers.milliseconds(new)} ms"
            found.append(f"{after.name} did not make it faster: {change} (from {before.name})")
    return found


def _against_baseline(results: Results, students: list[ModelRow]) -> list[str]:
    baseline = results.baseline
    if baseline is None:
        return []
    below = [
        f"{row.name} ({numbers.score(row.score)})"
        for row in students
        if row.score < baseline.score and not results.is_superseded(row)
    ]
    if not below:
        return []
    return [
        f"below the baseline ({numbers.score(baseline.score)}), which was trained on labels only: "
        + ", ".join(below)
    ]


def _disturbed(results: Results) -> list[str]:
    """Models whose slowest calls took far longer than the median ones: something else ran too."""
    # Real rows are of many lengths: there a long call tells nothing.
    cell = latency_cell({cell for cell in results.teacher.latency_ms if split_cell(cell)[1]})
    times = {row.name: row.latency_ms[cell] for row in results.models if cell in row.latency_ms}
    found = [name for name, time in times.items() if time.p95 > DISTURBED * time.p50]
    if not found:
        return []
    return [
        f"timing was disturbed (p95 is more than {DISTURBED:g} times the median: "
        f"{', '.join(found)}); on an idle machine: distill evaluate RUN --rerun"
    ]


def _fewer_calls(results: Results) -> list[str]:
    fewer = results.machine.get("fewer_calls") or {}
    if not fewer:
        return []
    told = "; ".join(
        f"{name} {', '.join(f'{n} at {cell}' for cell, n in cells.items())}"
        for name, cells in fewer.items()
    )
    return [f"slow calls were timed fewer than {results.machine['timed_calls']} times: {told}"]
