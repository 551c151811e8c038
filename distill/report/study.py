"""A study's tables: variants on tasks in points (hundredths), and every model over the seeds."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from distill.evaluation.cells import split_cell, told_length
from distill.evaluation.over_seeds import ModelTable
from distill.evaluation.study import Entry, Line, StudyResults, lines
from distill.report import numbers
from distill.report.columns import align
from distill.report.study_words import (
    change,
    gain_text,
    notes,
    score_text,
    share_text,
    summary,
)


@dataclass(frozen=True)
class Table:
    """A table as text, the same on the console, in Markdown and on the page.

    Args:
        title: what it shows, in one line.
        header: the columns' titles.
        rows: one for each variant or model.
        words: how many columns are words; the others are numbers.
        marked: the row that stands out: what is compared to, or the final model.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    words: int
    marked: int


def tables(results: StudyResults) -> list[Table]:
    """The table of variants, unless there is one alone, and one for each set of models."""
    models = [_models_table(results, table) for table in results.models]
    alone = len(results.variants) == 1 and models
    return models if alone else [_variants_table(results), *models]


def _variants_table(results: StudyResults) -> Table:
    found = lines(results)
    names = [line.row.name for line in found]
    header = ["variant"]
    header += [f"{t.title} ({t.metric})" if t.title else t.metric for t in results.tasks]
    rows = [[line.row.title, *map(_entry_text, line.entries)] for line in found]
    if len(results.tasks) > 1:
        header.append("average")
        rows = [[*r, _points(line.average)] for r, line in zip(rows, found, strict=True)]
    if len(found) > 1:
        header.append(f"to {reference_title(results)}")
        rows = [[*r, _difference(results, line)] for r, line in zip(rows, found, strict=True)]
    return Table(conditions(results), header, rows, 1, names.index(results.compare_to))


def _models_table(results: StudyResults, table: ModelTable) -> Table:
    first, several = table.models[0], any(row.gain is not None for row in table.models)
    header = ["model", "format", "n", table.metric]
    header += [f"{name} {table.metric}" for name in first.more_scores]
    header += ["retention", *(["to baseline"] if several else []), "size MB"]
    header += [f"p50 ms b{split_cell(table.cell)[0]}"] if table.cell else []
    header += ["smaller", "faster"] if table.cell else ["smaller"]
    rows = []
    for row in table.models:
        out = [row.name, row.format, str(row.score.n), score_text(row.score)]
        out += [score_text(row.more_scores.get(name)) for name in first.more_scores]
        out += [share_text(row.retention), *([gain_text(row.gain)] if several else [])]
        out.append(numbers.megabytes(row.bytes.mean))
        if table.cell:
            out.append(numbers.milliseconds(row.latency_ms.mean if row.latency_ms else None))
        out.append(numbers.times(row.smaller.mean))
        if table.cell:
            out.append(numbers.times(row.faster.mean if row.faster else None))
        rows.append(out)
    name = ", ".join(
        row.title
        for part, one in ((results.variants, table.variant), (results.tasks, table.task))
        for row in part
        if row.name == one and row.title
    )
    title = f"{name}: {_models_caption(table)}"
    return Table(title, header, rows, 2, table.models.index(table.final))


def _models_caption(table: ModelTable) -> str:
    count = len(table.seeds)
    text = (
        f"{table.metric} on the {table.split} examples; mean ± sample standard deviation over "
        f"{count} seed{'s' if count != 1 else ''} ({', '.join(map(str, table.seeds))})"
    )
    if table.cell is None:
        return f"{text}; speed not measured"
    told = told_length(table.cell)
    return f"{text}; sizes and times are means, times at batch {split_cell(table.cell)[0]}, {told}"


def _points(value: float | None) -> str:
    """A score in points: ``0.8312`` as ``83.1``."""
    return "-" if value is None else f"{100 * value:.1f}"


def _entry_text(entry: Entry) -> str:
    """One cell of the table: mean, standard deviation, and what is missing."""
    if entry.mean is None:
        return "failed" if entry.failed else "-"
    text = numbers.plus_minus(100 * entry.mean, entry.deviation and 100 * entry.deviation, 1)
    return text if entry.count == entry.wanted else f"{text} ({entry.count}/{entry.wanted})"


def _difference(results: StudyResults, line: Line) -> str:
    """A row's difference, with the number of tasks it is over where some are missing."""
    if line.row.name == results.compare_to:
        return ""
    text = change(line.difference)
    whole = line.difference is None or line.compared == len(results.tasks)
    return text if whole else f"{text} ({line.compared}/{len(results.tasks)})"


def reference_title(results: StudyResults) -> str:
    """What the variant that differences refer to is called."""
    return next(row.title for row in results.variants if row.name == results.compare_to)


def conditions(results: StudyResults) -> str:
    """What the numbers of the table of variants are, in one line."""
    counts = ", ".join(
        f"{task.title} {len(task.seeds)}".strip() for task in results.tasks if task.seeds
    )
    splits = sorted({trial.split for trial in results.trials}) or ["validation"]
    text = f"points on the {' and '.join(splits)} examples"
    if "validation" in splits:
        text += ", which chose the checkpoints too"
    if any(len(task.seeds) > 1 for task in results.tasks):
        text += "; mean ± sample standard deviation over seeds"
    return f"{text}; seeds: {counts}"


def plain_tables(results: StudyResults) -> str:
    """The tables as aligned text, with what to know of them."""
    out = [_title(results)]
    for table in tables(results):
        out += ["", table.title, "", *align([table.header, *table.rows], words=table.words)]
    return "\n".join([*out, "", summary(results), *(f"note: {note}" for note in notes(results))])


def print_study(results: StudyResults, console: Console | None = None) -> None:
    """Print tables, summary and notes to standard output (or ``console``)."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.file.write(plain_tables(results) + "\n")
        return

    def say(text: str, style: str) -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    say(_title(results), "bold")
    for table in tables(results):
        drawn = RichTable(
            caption=table.title, box=None, header_style="bold cyan", caption_style="dim",
            padding=(0, 2, 0, 0),
        )  # fmt: skip
        for index, title in enumerate(table.header):
            drawn.add_column(title, justify="left" if index < table.words else "right")
        for index, row in enumerate(table.rows):
            drawn.add_row(*map(escape, row), style="bold" if index == table.marked else "")
        console.print(drawn)
    say(summary(results), "bold green")
    for note in notes(results):
        say(f"note: {note}", "yellow")


def markdown(results: StudyResults) -> str:
    """The tables as Markdown, with the command that made them."""
    text = [f"# {_title(results)}", "", f"```\n{results.command}\n```"]
    for table in tables(results):
        text += ["", "| " + " | ".join(map(_escape, table.header)) + " |"]
        text.append("|---" * table.words + "|---:" * (len(table.header) - table.words) + "|")
        for index, row in enumerate(table.rows):
            cells = list(map(_escape, row))
            if index == table.marked:
                cells[0] = f"**{cells[0]}**"
            text.append("| " + " | ".join(cells) + " |")
        text += ["", f"- {_escape(table.title)}"]
    found = [*notes(results), *([measured(results)] if results.trials else [])]
    return "\n".join([*text, *(f"- {_escape(note)}" for note in found), ""])


def measured(results: StudyResults) -> str:
    """How long the trials took, and on what."""
    seconds = numbers.seconds(sum(trial.seconds for trial in results.trials))
    cpu = results.machine.get("cpu", "an unknown processor")
    return f"{len(results.trials)} trials in {seconds} on {cpu} ({results.machine['cores']} cores)"


def _title(results: StudyResults) -> str:
    return f"{results.name}: {results.description}".removesuffix(": ")


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
