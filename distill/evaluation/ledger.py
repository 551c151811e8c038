"""The ledger: what each step from teacher to deployed model paid, and what it brought.

Importing this module loads neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from distill.evaluation.cells import latency_cell, throughput_cell
from distill.evaluation.results import Change, Latency, ModelRow, Results, is_student

#: Less gain than this (2 %) is within the noise of a measurement and counts as none.
NO_GAIN = 1.02


@dataclass(frozen=True)
class Step:
    """One step, against the one before it; against both 1x's the model's own ratios are."""

    model: ModelRow
    before: ModelRow | None  # the model that it was made from; ``None`` for the first
    latency: Latency | None  # of one call, where it was timed
    throughput: float | None  # examples per second, where it was timed
    change: Change | None  # with what of it may be chance, where that is known
    faster: float | None  # how many times faster than the step before, in median latency
    smaller: float  # how many times fewer bytes than the step before
    verdict: str  # empty where the step helped, else in words what it did not do


def ledger(results: Results) -> list[Step]:
    """The steps in order: the teacher's model, the student after each stage, each format.

    Stages that train the same tensors further are one step, the last of them. An int8 format comes
    after its own engine's fp32 format where that was exported too, every other one after the
    student. The baseline is no step: nothing was made from it.
    """
    one = results.one
    cell, many = latency_cell(set(one.latency_ms)), throughput_cell(set(one.throughput))
    found = []
    for row, before in steps(results):
        change = results.change(row.name, before.name) if before else None
        latency = row.latency_ms.get(cell) if cell else None
        throughput = row.throughput.get(many) if many else None
        previous = before.latency_ms.get(cell) if before and cell else None
        faster = previous.p50 / latency.p50 if previous and latency else None
        smaller = before.bytes / row.bytes if before else 1.0
        verdict = _verdict(faster, smaller, change) if before else ""
        found.append(Step(row, before, latency, throughput, change, faster, smaller, verdict))
    return found


def steps(results: Results) -> Iterator[tuple[ModelRow, ModelRow | None]]:
    """Every step's model and the one it was made from."""
    first = student = results.one
    yield first, None
    formats: dict[str, ModelRow] = {}
    for row in results.models:
        if row is first or not is_student(row.name) or results.is_superseded(row):
            continue
        if row.format == "transformers":
            yield row, student
            student = row
            continue
        formats[row.format] = row
    for name in sorted(formats, key=lambda name: "-" in name):
        engine = name.partition("-")[0]
        yield formats[name], formats.get(engine, student) if engine != name else student


def _verdict(faster: float | None, smaller: float, change: Change | None) -> str:
    """What a step did not do that it is there for: one of the two it must."""
    speed = faster if faster is not None else 1.0
    if speed < NO_GAIN and smaller < NO_GAIN:
        neither = "neither faster nor smaller" if faster is not None else "not smaller"
        worse = [w for w, r in (("slower", speed), ("larger", smaller)) if r < 1 / NO_GAIN]
        if change is not None and change.low > 0:
            return "better, but " + (" and ".join(worse) if worse else neither)
        lost = ""
        if change is not None and change.high < 0:
            lost = f", and lost {-100 * change.change:.1f} points beyond noise"
        return "did not help: " + (" and ".join(worse) if worse else neither) + lost
    if speed < 1 / NO_GAIN:
        return "smaller, but slower"
    if smaller < 1 / NO_GAIN:
        return "faster, but larger"
    return ""
