"""Tables as text, and that of a run's models: rich on a terminal, plain aligned text elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from distill.evaluation.cells import latency_cell, split_cell, throughput_cell
from distill.evaluation.results import TEACHER, ModelRow, Results, is_student
from distill.report import numbers
from distill.report.numbers import align
from distill.report.summary import changes, measured_on, notes, one_named, summary

#: The column of half the width of the score's 95 % interval.
INTERVAL = "±95 %"


@dataclass(frozen=True)
class Table:
    """A table as text, the same on the console, in Markdown and on a page."""

    header: list[str]  # the columns' titles
    rows: list[list[str]]  # one for each model, step or variant
    words: int = 2  # how many columns are words; the others are numbers
    title: str = ""  # what it shows, in one line
    marked: int = -1  # the row that stands out; -1: none does

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, str]], *given: Any, **rest: Any) -> Table:
        """A table of rows by their columns' titles; what a row does not have is a dash."""
        header = [*max(rows, key=len)]
        return cls(
            header, [[row.get(title, "-") for title in header] for row in rows], *given, **rest
        )

    def lines(self) -> list[str]:
        return align([self.header, *self.rows], words=self.words)

    def markdown(self) -> str:
        rule = ["---"] * self.words + ["---:"] * (len(self.header) - self.words)
        rows = [[text.replace("|", "\\|") for text in row] for row in (self.header, *self.rows)]
        return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))

    def printable(self, styles: Sequence[str] = ()) -> RichTable:
        """The table for a terminal.

        Args:
            styles: of each row; left out, the marked one is bold.
        """
        table = RichTable(
            caption=self.title, box=None, caption_style="dim", header_style="bold cyan",
            padding=(0, 2, 0, 0),
        )  # fmt: skip
        for number, title in enumerate(self.header):
            justify: Literal["left", "right"] = "left" if number < self.words else "right"
            table.add_column(title, justify=justify, no_wrap=self.words == 2)
        for number, row in enumerate(self.rows):
            usual = "bold" if number == self.marked else ""
            table.add_row(*map(escape, row), style=styles[number] if styles else usual)
        return table


def print_lines(console: Console, lines: Iterable[str], style: str) -> None:
    """Print lines as they are, in one style, on a terminal."""
    for line in lines:
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def models_table(results: Results) -> Table:
    """All models of a run with every number as text."""
    rows = [_cells(row, results) for row in results.models]
    if (targets := results.targets) is not None:
        known = {
            "model": TEACHER,
            "format": "targets",
            results.metric: numbers.score(targets.score),
        }
        known[INTERVAL] = numbers.half_width(targets.interval)
        rows.insert(int(results.linear is not None), known)
    return Table.of(rows, title=caption(results), marked=len(rows) - 1)


def _cells(row: ModelRow, results: Results) -> dict[str, str]:
    one, metric = results.one, results.metric
    alone, many = latency_cell(set(one.latency_ms)), throughput_cell(set(one.throughput))
    cells = {"model": row.name, "format": row.format, metric: numbers.score(row.score)}
    if any(other.interval for other in results.models):
        cells[INTERVAL] = numbers.half_width(row.interval)
    for name in one.more_scores:
        cells[f"{name} {metric}"] = numbers.score(row.more_scores[name][metric])
    cells["retention"] = numbers.percent(row.retention)
    cells["params M"] = numbers.millions(row.parameters)
    cells["MACs M"] = numbers.millions(row.macs)
    cells["size MB"] = numbers.megabytes(row.bytes)
    if alone is not None and many is not None:
        p50, p95 = numbers.p50_and_p95(row.latency_ms.get(alone))
        cells |= {f"p50 ms b{split_cell(alone)[0]}": p50, "p95 ms": p95}
        cells[f"ex/s b{split_cell(many)[0]}"] = numbers.rate(row.throughput.get(many))
    cells["smaller"] = numbers.times(row.ratios.size)
    if alone is not None:
        cells["faster"] = numbers.times(row.ratios.latency)
        if results.reference is not None and row.against is not None:
            cells[f"faster than {results.reference.name}"] = numbers.times(row.against.latency)
    return cells


def caption(results: Results) -> str:
    """What was measured how, in one line."""
    alone = latency_cell(set(results.one.latency_ms))
    text = f"{results.metric} on the {results.split} examples"
    if alone is None:
        return f"{text}; speed not measured"
    threads = results.machine.get("threads")
    counted = f", {numbers.counted(threads, 'thread')}" if threads else ""
    return f"{text}; MACs and speed at {_tokens(results, alone)}{counted}"


def _tokens(results: Results, cell: str) -> str:
    length, real = split_cell(cell)[1], results.real_lengths
    if length:
        return f"{length} tokens"
    return f"real lengths ({real.mean:.0f} tokens in the mean)" if real else "real lengths"


def print_table(results: Results, console: Console | None = None) -> None:
    """Print title, table, summary and notes to standard output (or ``console``)."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.file.write(plain_table(results) + "\n")
        return
    print_lines(console, [results.recipe], "bold")
    table = _fitting(models_table(results), console.width)
    styles = [_style(model, results) for model in results.models]
    if results.targets is not None:
        styles.insert(0, "dim")  # as are the rows before it
    console.print(table.printable(styles))
    print_lines(console, ["", summary(results)], "bold green")
    print_lines(console, below(results), "dim")
    print_lines(console, (f"note: {note}" for note in notes(results)), "yellow")


def described(results: Results) -> dict[str, Any]:
    """What a page and a card say of results, by the names that their templates have for it."""
    return {
        "summary": summary(results),
        "notes": notes(results),
        "below": below(results),
        "table": models_table(results),
        "one": one_named(results),
        "caption": caption(results),
    }


def below(results: Results) -> list[str]:
    """What stands below the summary: what each step cost in score, and the machine."""
    return [line for line in (changes(results), measured_on(results.machine)) if line]


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


def _fitting(table: Table, width: int) -> Table:
    for title in _DISPENSABLE:
        if max(map(len, table.lines())) + 2 <= width:
            break
        keep = [i for i, name in enumerate(table.header) if not name.startswith(title)]
        table = replace(
            table,
            header=[table.header[i] for i in keep],
            rows=[[row[i] for i in keep] for row in table.rows],
            words=table.words - (title == "format"),
        )
    return table


def _style(model: ModelRow, results: Results) -> str:
    if not is_student(model.name):
        return "dim"
    return "bold" if model.name == results.final.name else ""


def plain_table(results: Results) -> str:
    """Title, table, summary and notes as plain lines."""
    lines = [f"{results.recipe}: {caption(results)}", "", *models_table(results).lines()]
    lines += ["", summary(results), *below(results)]
    return "\n".join(lines + [f"note: {note}" for note in notes(results)])
