"""The results as a table on the console: rich on a terminal, plain aligned text elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from distill.evaluation.cells import latency_cell, split_cell, throughput_cell
from distill.evaluation.results import ModelRow, Results, as_results, is_student
from distill.report import numbers
from distill.report.columns import align
from distill.report.summary import changes, measured_on, notes, summary

#: The column of half the width of the score's 95 % interval.
INTERVAL = "±95 %"


@dataclass(frozen=True)
class Cells:
    """The results as text.

    Args:
        header: the columns' titles; the first two columns are words, the others numbers.
        rows: one for each model.
    """

    header: list[str]
    rows: list[list[str]]


def cells(results: Results | Mapping[str, Any]) -> Cells:
    """Every number of the table as text, so that all outputs show the same."""
    results = as_results(results)
    alone = latency_cell(set(results.teacher.latency_ms))
    many = throughput_cell(set(results.teacher.throughput))
    sets = list(results.teacher.more_scores)
    header = ["model", "format", results.metric]
    if any(row.interval for row in results.models):
        header.append(INTERVAL)
    header += [f"{name} {results.metric}" for name in sets]
    header += ["retention", "params M", "MACs M", "size MB"]
    if alone is not None and many is not None:
        header += [f"p50 ms b{split_cell(alone)[0]}", "p95 ms", f"ex/s b{split_cell(many)[0]}"]
    header += ["smaller", "faster"] if alone else ["smaller"]
    if results.reference is not None and alone:
        header.append(f"faster than {results.reference.name}")
    rows = []
    for row in results.models:
        score, *others = _row(row, results.metric, alone, many)
        width = [numbers.half_width(row.interval)] if INTERVAL in header else []
        rows.append([row.name, row.format, score, *width, *others])
    return Cells(header, rows)


def _row(row: ModelRow, metric: str, alone: str | None, many: str | None) -> list[str]:
    """Score and all that stands behind it and its interval."""
    out = [
        numbers.score(row.score),
        *(numbers.score(scores[metric]) for scores in row.more_scores.values()),
        numbers.percent(row.retention),
        numbers.millions(row.parameters),
        numbers.millions(row.macs),
        numbers.megabytes(row.bytes),
    ]
    if alone is not None and many is not None:
        latency = row.latency_ms.get(alone)
        out += [
            numbers.milliseconds(latency.p50 if latency else None),
            numbers.milliseconds(latency.p95 if latency else None),
            numbers.rate(row.throughput.get(many)),
        ]
    out.append(numbers.times(row.ratios.size))
    if alone is not None:
        out.append(numbers.times(row.ratios.latency))
        if row.against is not None:
            out.append(numbers.times(row.against.latency))
    return out


def caption(results: Results) -> str:
    """What was measured how, in one line."""
    alone = latency_cell(set(results.teacher.latency_ms))
    text = f"{results.metric} on the {results.split} rows"
    if alone is None:
        return f"{text}; speed not measured"
    threads = results.machine.get("threads")
    counted = f", {threads} threads" if threads and threads != 1 else ", 1 thread" * bool(threads)
    return f"{text}; MACs and speed at {_told_tokens(results, alone)}{counted}"


def _told_tokens(results: Results, cell: str) -> str:
    length, real = split_cell(cell)[1], results.real_lengths
    if length:
        return f"{length} tokens"
    return f"real lengths ({real.mean:.0f} tokens in the mean)" if real else "real lengths"


def print_table(results: Results | Mapping[str, Any], console: Console | None = None) -> None:
    """Print title, table, summary and notes to standard output (or ``console``)."""
    results = as_results(results)
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.file.write(plain_table(results) + "\n")
        return
    content = _fitting(cells(results), console.width)
    table = Table(
        title=results.recipe,
        caption=caption(results),
        box=None,
        title_style="bold",
        caption_style="dim",
        header_style="bold cyan",
        padding=(0, 2, 0, 0),
    )
    for title in content.header:
        table.add_column(title, justify="left" if title in _WORDS else "right", no_wrap=True)
    for row, model in zip(content.rows, results.models, strict=True):
        table.add_row(*row, style=_style(model, results))
    console.print(table)
    console.print()
    console.print(
        summary(results), style="bold green", markup=False, highlight=False, soft_wrap=True
    )
    for line in below(results):
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
    for note in notes(results):
        console.print(
            f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )


def below(results: Results) -> list[str]:
    """What stands below the summary: what each step cost in score, and the machine."""
    return [line for line in (changes(results), measured_on(results.machine)) if line]


_WORDS = ("model", "format")
#: What a narrow terminal is not shown, in the order in which it goes; the report has it all.
_DISPENSABLE = (
    "p95 ms",
    "MACs M",
    "format",
    "params M",
    "ex/s",
    "retention",
    INTERVAL,
    "size MB",
    "faster ",
)


def _fitting(content: Cells, width: int) -> Cells:
    """The columns that fit the terminal."""
    for title in _DISPENSABLE:
        if max(len(line) for line in align([content.header, *content.rows])) + 2 <= width:
            break
        keep = [i for i, name in enumerate(content.header) if not name.startswith(title)]
        content = Cells(
            [content.header[i] for i in keep], [[row[i] for i in keep] for row in content.rows]
        )
    return content


def _style(model: ModelRow, results: Results) -> str:
    if not is_student(model.name):
        return "dim"
    return "bold" if model.name == results.final.name else ""


def plain_table(results: Results | Mapping[str, Any]) -> str:
    """Title, table, summary and notes as plain lines."""
    results = as_results(results)
    content = cells(results)
    lines = [f"{results.recipe}: {caption(results)}", ""]
    lines += align([content.header, *content.rows])
    lines += ["", summary(results), *below(results)]
    return "\n".join(lines + [f"note: {note}" for note in notes(results)])
