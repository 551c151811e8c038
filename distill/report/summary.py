"""What the numbers say in words: one sentence on the final model, and what is not as hoped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distill.evaluation.cells import describe_length, latency_cell, split_cell
from distill.evaluation.ledger import NO_GAIN, ledger, steps
from distill.evaluation.limits import measured, target_words
from distill.evaluation.over_seeds import DISTURBED, disturbed
from distill.evaluation.results import (
    BASELINE,
    LINEAR,
    MAJORITY,
    TEACHER,
    Change,
    ModelRow,
    Results,
    is_student,
    is_teacher,
)
from distill.report import numbers
from distill.tasks import decoder_class

#: Instruction sets that decide how fast a BERT is, in the words of tables.
_SETS = {
    "avx512f": "avx512",
    "avx2": "avx2",
    "avx512_vnni": "vnni",
    "avx_vnni": "vnni",
    "avx512_bf16": "bf16",
    "amx_int8": "amx",
    "asimd": "neon",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
}


def summary(results: Results) -> str:
    """One sentence: what the final model keeps, and how much smaller and faster it is.

    Example:
        ``onnx-int8: 96.4 % of the teacher at 6.2x smaller and 12.3x faster (batch 1, length 32,
        2 threads)``; where teacher or model do not beat what needs no BERT, it says so
    """
    text = _kept(results)
    if (below := _against_floor(results)) and not is_teacher(results.final.name):
        text += f"; {below[0].partition(' (')[0]}"
    if results.limits is None:
        return text
    return f"{text}; {target_words(results.limits, measured(results.final))}"


def _kept(results: Results) -> str:
    final = results.final
    if is_teacher(final.name):
        return f"{final.name}: {results.metric} {numbers.score(final.score)}; no student yet"
    kept = (
        f"{numbers.percent(final.retention)} of the teacher"
        if final.retention is not None
        else f"{results.metric} {numbers.score(final.score)}"
    )
    if final is results.one:
        return f"{final.name}: {kept}"
    than = "" if results.one.name == TEACHER else f" than {one_named(results)} in PyTorch"
    text = f"{final.name}: {kept} at {_compared(final.ratios.size, 'smaller', 'larger')}"
    if final.ratios.latency is None:
        return text + than
    faster = _compared(final.ratios.latency, "faster", "slower") + than
    if results.reference is not None and final.against and final.against.latency:
        than = _compared(final.against.latency, "faster", "slower")
        faster += f", {than} than {results.reference.name}"
    return f"{text} and {faster} ({conditions(results)})"


def one_named(results: Results) -> str:
    """What ``smaller`` and ``faster`` are against."""
    return "the teacher" if results.one.name == TEACHER else results.one.name


def _compared(ratio: float, better: str, worse: str) -> str:
    if ratio >= 1:
        return f"{numbers.times(ratio)} {better}"
    return f"{numbers.times(1 / ratio)} {worse}"


def conditions(results: Results) -> str:
    """Under what the latency was measured, such as ``batch 1, length 32, 2 threads``."""
    cell = latency_cell(set(results.one.latency_ms))
    if cell is None:
        return "speed not measured"
    batch, _ = split_cell(cell)
    threads = results.machine.get("threads")
    tail = f", {numbers.counted(threads, 'thread')}" if threads else ""
    return f"batch {batch}, {describe_length(cell)}{tail}"


def changes(results: Results) -> str:
    """What each step cost in score, in one line; empty where it is not known.

    Example:
        ``in points of accuracy: prediction -1.9 (beyond noise), prune -0.7 (within noise)``
    """
    parts = [
        f"{step.model.name} {numbers.points(step.change.change)} ({_noise(step.change)})"
        for step in ledger(results)
        if step.change is not None
    ]
    return f"in points of {results.metric}, step by step: {', '.join(parts)}" if parts else ""


def _noise(change: Change) -> str:
    if change.low == change.high == 0:
        return "unchanged"
    return "beyond noise" if change.beyond_noise else "within noise"


def measured_on(machine: Mapping[str, Any]) -> str:
    """The machine that numbers hold for, in one line.

    Example:
        ``measured on AMD EPYC 7B13 with avx2, no vnni; 2 threads``
    """
    flags = machine.get("isa") or ()
    names = list(dict.fromkeys(_SETS[flag] for flag in flags if flag in _SETS))
    if "avx512" in names:
        names.remove("avx2")
    if names and "vnni" not in names and {"avx2", "avx512"} & set(names):
        names.append("no vnni")  # int8 takes twice as long
    text = f"measured on {machine.get('cpu') or 'an unnamed processor'}"
    text += f" with {', '.join(names)}" if names else ""
    threads = machine.get("threads")
    return text + (f"; {numbers.counted(threads, 'thread')}" if threads else "")


def notes(results: Results) -> list[str]:
    """What a reader should not overlook, one line each; an empty list where all is well."""
    students = [row for row in results.models if is_student(row.name)]
    found = _against_floor(results)
    for after, before in steps(results):
        if before is not None:
            change = results.change(after.name, before.name)
            found += _no_gain(before, after, change, results.metric)
    found += _against_baseline(results, students)
    found += _short_vectors(results) + _without_reading(results)
    return found + scored_examples(results.split) + _fewer_calls(results) + _disturbed(results)


def _without_reading(results: Results) -> list[str]:
    """That a table's times leave out what takes most of the time: reading the text."""
    if not results.final.format.startswith("numpy"):
        return []
    return [
        "times are from token ids to outputs, of the linear model from text; tokenising takes "
        f"longer than {results.final.name} (distill predict --file prints rows a second of both)"
    ]


def _short_vectors(results: Results) -> list[str]:
    """What vectors that are cut at the front score, where they were trained for it."""
    final, sign = results.final, f"{results.metric}@"
    cut = {name.removeprefix(sign): score for name, score in final.scores.items() if sign in name}
    if not cut:
        return []
    scores = [("full width", final.score), *((f"{width} dimensions", cut[width]) for width in cut)]
    told = ", ".join(f"{numbers.score(score)} at {width}" for width, score in scores)
    return [f"{final.name}: {results.metric} {told}"]


def scored_examples(split: str) -> list[str]:
    """What to know of scores on rows that chose something."""
    if split == "test":
        return []
    return [
        f"scores are on the {split} examples, which also chose the checkpoints; "
        "name data.test for examples that chose nothing"
    ]


def _against_floor(results: Results) -> list[str]:
    """What does not beat what needs no BERT, by more than chance."""
    final, linear, score = results.final, results.linear, results.teacher_score
    for than, named in (
        (LINEAR, "the linear model"),
        (MAJORITY, decoder_class(results.task).words.majority),
    ):
        change = results.change(TEACHER, than)
        if score is not None and change is not None and change.low <= 0:
            other = score - change.change
            chance = " by more than chance" if change.change > 0 else ""
            return [
                f"the teacher does not beat {named}{chance} ({numbers.score(score)} vs "
                f"{numbers.score(other)}): nothing distilled from it is worth shipping"
            ]
    change = results.change(final.name, LINEAR)
    if linear is None or change is None or change.low > 0 or is_teacher(final.name):
        return []
    chance = " by more than chance" if change.change > 0 else ""
    return [
        f"{final.name} does not beat the linear model{chance} ({numbers.score(final.score)} vs "
        f"{numbers.score(linear.score)}), which has {numbers.megabytes(linear.bytes)} MB"
    ]


def _no_gain(before: ModelRow, after: ModelRow, change: Change | None, metric: str) -> list[str]:
    """Which of the gains that a step promises it did not bring."""
    if (before.parameters, before.format) == (after.parameters, after.format):
        return []  # trained further, which promises neither
    found = []
    smaller = before.bytes / after.bytes
    # Another format in fp32 only promises speed.
    if after.format not in ("onnx", "openvino", "numpy") and smaller < NO_GAIN:
        sizes = f"{numbers.megabytes(before.bytes)} to {numbers.megabytes(after.bytes)} MB"
        found.append(f"{after.name} did not make it smaller: {sizes} (from {before.name})")
    cell = latency_cell(set(before.latency_ms) & set(after.latency_ms))
    faster = 1.0
    if cell is not None:
        old, new = before.latency_ms[cell].p50, after.latency_ms[cell].p50
        faster = old / new
        if faster < NO_GAIN:
            times = f"{numbers.milliseconds(old)} to {numbers.milliseconds(new)} ms"
            found.append(f"{after.name} did not make it faster: {times} (from {before.name})")
    if change is not None and change.high < 0 and max(smaller, faster) < NO_GAIN:
        found.append(
            f"{after.name} lost {-100 * change.change:.1f} points of {metric}, beyond noise, and "
            f"brought neither speed nor size (from {before.name}): leave the step out"
        )
    return found


def _against_baseline(results: Results, students: list[ModelRow]) -> list[str]:
    baseline = results.baseline
    if baseline is None:
        return []
    below = [
        f"{row.name} ({numbers.score(row.score)}{_chance(results.change(row.name, BASELINE))})"
        for row in students
        if row.score < baseline.score and not results.is_superseded(row)
    ]
    if not below:
        return []
    return [
        f"below the baseline ({numbers.score(baseline.score)}), which was trained on labels only: "
        + ", ".join(below)
    ]


def _chance(change: Change | None) -> str:
    return "" if change is None or change.beyond_noise else ", within noise"


def _disturbed(results: Results) -> list[str]:
    """Real lengths differ too much for their 95th percentile to tell."""
    names, busy = disturbed(results), results.machine.get("busy_percent")
    why = [f"other programs kept the processor {busy:.0f} % busy"] if busy else []
    if names:
        why.append(f"p95 is more than {DISTURBED:g} times the median: {', '.join(names)}")
    if not why:
        return []
    return [
        f"timing was disturbed ({'; '.join(why)}), so latencies and how much faster may be wrong; "
        "on an idle machine: distill evaluate RUN --rerun"
    ]


def _fewer_calls(results: Results) -> list[str]:
    fewer = results.machine.get("fewer_calls") or {}
    if not fewer:
        return []
    calls = "; ".join(
        f"{name} {', '.join(f'{n} at {cell}' for cell, n in cells.items())}"
        for name, cells in fewer.items()
    )
    return [f"slow calls were timed fewer than {results.machine['timed_calls']} times: {calls}"]
