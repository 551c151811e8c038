"""A study's tables: variants on tasks in points (hundredths), every model over the seeds; notes."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from distill.evaluation.cells import describe_length, split_cell
from distill.evaluation.over_seeds import ModelSpread, ModelTable
from distill.evaluation.results import is_teacher
from distill.evaluation.study import Entry, Line, StudyResults, lines
from distill.report import numbers
from distill.report.numbers import change, gain_text, score_text, share_text
from distill.report.search import (
    compared,
    interval_text,
    search_table,
    searched_summary,
    targets_table,
)
from distill.report.summary import scored_examples
from distill.report.table import Table, print_lines


def tables(results: StudyResults) -> list[Table]:
    """The table of variants, unless there is one alone, and one for each set of models.

    A search has its table instead, in which the file's own variants stand too, and the models of
    the best.
    """
    shown = shown_models(results)
    models = [_models_table(results, table) for table in shown]
    searched = [search_table(results)] if results.searched else []
    searched += [targets_table(results)] if results.targets else []
    if results.searched or (len(results.variants) == 1 and models):
        return [*searched, *models]
    return [*searched, _variants_table(results), *models]


def shown_models(results: StudyResults) -> list[ModelTable]:
    """The variants whose models have a table: those of the file, and the best of a search."""
    searched = {row.name for row in results.variants if row.searched}
    best = results.chosen.variant if results.chosen is not None else None
    return [t for t in results.models if t.variant not in searched or t.variant == best]


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
    if compared(results):
        header.append("95 %")
        rows = [[*r, interval_text(line.row)] for r, line in zip(rows, found, strict=True)]
    marked = names.index(results.compare_to)
    return Table(header, rows, 1, conditions(results), marked)


def _models_table(results: StudyResults, table: ModelTable) -> Table:
    several = any(row.gain is not None for row in table.models)
    rows = [_model_cells(row, table, several=several) for row in table.models]
    name = ", ".join(
        row.title
        for part, one in ((results.variants, table.variant), (results.tasks, table.task))
        for row in part
        if row.name == one and row.title
    )
    title = f"{name}: {_models_caption(table)}"
    return Table.of(rows, 2, title, table.models.index(table.final))


def _model_cells(row: ModelSpread, table: ModelTable, *, several: bool) -> dict[str, str]:
    metric, cell = table.metric, table.cell
    cells = {"model": row.name, "format": row.format, "n": str(row.score.n)}
    cells[metric] = score_text(row.score)
    for name in table.models[0].more_scores:
        cells[f"{name} {metric}"] = score_text(row.more_scores.get(name))
    cells["retention"] = share_text(row.retention)
    if several:
        cells["to baseline"] = gain_text(row.gain)
    cells["size MB"] = numbers.megabytes(row.bytes.mean)
    if cell:
        latency = row.latency_ms.mean if row.latency_ms else None
        cells[f"p50 ms b{split_cell(cell)[0]}"] = numbers.milliseconds(latency)
    cells["smaller"] = numbers.times(row.smaller.mean)
    if cell:
        cells["faster"] = numbers.times(row.faster.mean if row.faster else None)
    return cells


def _models_caption(table: ModelTable) -> str:
    count = len(table.seeds)
    text = (
        f"{table.metric} on the {table.split} examples; mean ± sample standard deviation over "
        f"{count} seed{'s' if count != 1 else ''} ({', '.join(map(str, table.seeds))})"
    )
    if table.cell is None:
        return f"{text}; speed not measured"
    length = describe_length(table.cell)
    return (
        f"{text}; sizes and times are means, times at batch {split_cell(table.cell)[0]}, {length}"
    )


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _entry_text(entry: Entry) -> str:
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
        out += ["", table.title, "", *table.lines()]
    return "\n".join([*out, "", summary(results), *(f"note: {note}" for note in notes(results))])


def print_study(results: StudyResults, console: Console | None = None) -> None:
    """Print tables, summary and notes to standard output (or ``console``)."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.file.write(plain_tables(results) + "\n")
        return
    print_lines(console, [_title(results)], "bold")
    for table in tables(results):
        console.print(table.printable())
    print_lines(console, [summary(results)], "bold green")
    print_lines(console, (f"note: {note}" for note in notes(results)), "yellow")


def markdown(results: StudyResults) -> str:
    """The tables as Markdown, with the command that made them."""
    text = [f"# {_title(results)}", "", f"```\n{results.command}\n```"]
    for table in tables(results):
        rows = [
            [f"**{row[0]}**", *row[1:]] if number == table.marked else row
            for number, row in enumerate(table.rows)
        ]
        text += ["", replace(table, rows=rows).markdown(), "", f"- {table.title}"]
    lines = [*notes(results), *([measured(results)] if results.trials else [])]
    return "\n".join([*text, *(f"- {line}" for line in lines), ""])


def measured(results: StudyResults) -> str:
    """How long the trials took, and on what."""
    seconds = numbers.seconds(sum(trial.seconds for trial in results.trials))
    cpu = results.machine.get("cpu", "an unknown processor")
    return f"{len(results.trials)} trials in {seconds} on {cpu} ({results.machine['cores']} cores)"


def _title(results: StudyResults) -> str:
    return f"{results.name}: {results.description}".removesuffix(": ")


def summary(results: StudyResults) -> str:
    """The one thing to take away: what a change costs, or what the final model keeps."""
    if results.searched:
        return searched_summary(results)
    if len(results.variants) == 1:
        return "; ".join(_kept(table.final, table.metric) for table in results.models)
    found = [
        line
        for line in lines(results)
        # The teacher is what is aimed at, and no change of the student.
        if line.difference and line.average is not None and not is_teacher(line.row.name)
    ]
    if not found:
        return "No two variants have been tried on every task yet"
    found.sort(key=lambda line: line.difference or 0.0)
    parts = []
    if (found[0].difference or 0) < 0:
        parts.append(f"{found[0].row.title} costs most ({change(found[0].difference)} points)")
    if (found[-1].difference or 0) > 0:
        parts.append(f"{found[-1].row.title} gains most ({change(found[-1].difference)} points)")
    return "; ".join(parts)


def _kept(final: ModelSpread, metric: str) -> str:
    if is_teacher(final.name):
        return f"{final.name}: {metric} {score_text(final.score)}; no student yet"
    kept = f"{metric} {score_text(final.score)}"
    if final.retention is not None:
        kept = f"{share_text(final.retention)} of the teacher"
    text = f"{final.name}: {kept} (n = {final.score.n})"
    if final.gain is not None:
        text += f", {gain_text(final.gain)} to the baseline, seed by seed"
    return text


def notes(results: StudyResults) -> list[str]:
    """What the tables leave open: trials to be done, failures, and what to know of the numbers."""
    asked = sum(
        len(task.seeds)
        for row in results.variants
        for task in results.tasks
        if task.name in row.tasks and not row.skipped
    )
    done = sum(trial.status == "done" for trial in results.trials)
    found = [] if done == asked else [f"{done} of {asked} trials done"]
    found += [f"{r.title} was not run: {r.skipped}" for r in results.variants if r.skipped]
    for trial in results.failures():
        parts = (trial.variant, trial.task, f"seed {trial.seed}")
        name = ", ".join(part for part in parts if part)
        found.append(f"{name} failed: {' '.join(trial.reason.split())}")
    for table in shown_models(results):
        found += _models_notes(table)
    if compared(results):
        found.append(
            "95 %: where the difference lies on other examples of the same kind, in points, by the "
            "paired bootstrap; (noise): it may be 0"
        )
    if any(task.examples_by_seed for task in results.tasks):
        found.append(
            "each seed drew its own examples to be scored on, which is part of the spread; "
            "differences, retention and gains are of models on the same examples"
        )
    return list(dict.fromkeys(found))


def _models_notes(table: ModelTable) -> list[str]:
    found = []
    for row in table.models:
        if row.score.n < len(table.seeds):
            made = ", ".join(map(str, row.score.values))
            found.append(f"{row.name} was made with seed {made} only")
    final = table.final
    if final.gain is not None:
        below = [str(seed) for seed, value in final.gain.values.items() if value < 0]
        if below:
            found.append(f"{final.name} is below the baseline with seed {', '.join(below)}")
    if table.disturbed:
        seeds = ", ".join(map(str, table.disturbed))
        found.append(
            f"timing was disturbed with seed {seeds}; on an idle machine: distill evaluate STUDY "
            "--rerun"
        )
    return found + scored_examples(table.split)
