"""The ledger as a table for the console, the report and Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from distill.evaluation.cells import describe_length, latency_cell, split_cell, throughput_cell
from distill.evaluation.ledger import Step, ledger
from distill.evaluation.results import Latency, ModelRow, Reference, Results
from distill.report import numbers
from distill.report.summary import measured_on
from distill.report.table import Table, caption

TITLE = "ledger: what each step cost and gained"


def ledger_table(results: Results) -> Table:
    """A row for each step; the reference, where there is one, comes first."""
    steps = ledger(results)
    rows = [_cells(step, results) for step in steps]
    if any(step.verdict for step in steps):
        rows = [row | {"note": step.verdict} for row, step in zip(rows, steps, strict=True)]
    if results.reference is not None:
        rows.insert(0, _reference_cells(results.reference, results))
    return Table.of(rows)


def _cells(step: Step, results: Results) -> dict[str, str]:
    model, first, other = step.model, step.before is None, results.reference
    cells = {
        "step": model.name,
        "from": step.before.name if step.before else "-",
        results.metric: numbers.score(model.score),
        "change": _change(step),
        **_cost(model, step.latency, step.throughput),
        "step faster": "-" if first else numbers.times(step.faster),
        "step smaller": "-" if first else numbers.times(step.smaller),
        "faster": numbers.times(model.ratios.latency),
        "smaller": numbers.times(model.ratios.size),
    }
    if other is not None:
        against = model.against.latency if model.against else None
        cells[f"faster than {other.name}"] = numbers.times(against)
    return cells


def _cost(
    model: ModelRow | Reference, latency: Latency | None, throughput: float | None
) -> dict[str, str]:
    p50, p95 = numbers.p50_and_p95(latency)
    return {
        "p50 ms": p50,
        "p95 ms": p95,
        "ex/s": numbers.rate(throughput),
        "size MB": numbers.megabytes(model.bytes),
        "params M": numbers.millions(model.parameters),
        "MACs M": numbers.millions(model.macs),
    }


def _change(step: Step) -> str:
    """The score's change in points; with a tilde what may be chance."""
    if step.before is None:
        return "-"
    points = numbers.points(step.model.score - step.before.score)
    sure = step.change is None or step.change.beyond_noise or points == "0.0"
    return points if sure else f"~{points}"


def _reference_cells(other: Reference, results: Results) -> dict[str, str]:
    one = results.one
    cell = latency_cell(set(other.latency_ms) & set(one.latency_ms))
    latency = other.latency_ms[cell] if cell else None
    many = throughput_cell(set(other.throughput) & set(one.throughput))
    return {
        "step": other.name,
        **_cost(other, latency, other.throughput[many] if many else None),
        "faster": numbers.times(
            one.latency_ms[cell].p50 / latency.p50 if cell and latency else None
        ),
        "smaller": numbers.times(one.bytes / other.bytes),
        f"faster than {other.name}": numbers.times(1.0 if latency else None),
        "note": "",
    }


def plain_ledger(results: Results) -> str:
    """Title, table and conditions as plain lines."""
    return "\n".join([TITLE, "", *ledger_table(results).lines(), "", *ledger_conditions(results)])


def ledger_conditions(results: Results) -> Iterator[str]:
    """What was measured how and on what, a line each."""
    cell = latency_cell(set(results.one.latency_ms))
    latency = f"; latency at batch {split_cell(cell)[0]}, {describe_length(cell)}" if cell else ""
    yield caption(results) + latency
    if results.changes:
        yield "change: points of score against the step before; ~: within the noise (95 %)"
    yield measured_on(results.machine)
    versions = results.machine.get("versions") or {}
    wanted = ("torch", "transformers", "onnxruntime", "openvino")
    if named := ", ".join(f"{name} {versions[name]}" for name in wanted if name in versions):
        yield named


def markdown_ledger(results: Results) -> str:
    """The ledger as a Markdown table with its conditions below, to be put into a document."""
    conditions = "\n".join(f"- {line}" for line in ledger_conditions(results))
    return f"{ledger_table(results).markdown()}\n\n{conditions}\n"
