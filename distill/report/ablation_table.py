"""An ablation's table: on the console, and as Markdown. Scores are in points (hundredths)."""

from __future__ import annotations

from distill.evaluation.ablation import AblationResults, Entry, Line, lines
from distill.report import numbers
from distill.report.columns import align


def points(value: float | None) -> str:
    """A score in points: ``0.8312`` as ``83.1``."""
    return "-" if value is None else f"{100 * value:.1f}"


def change(value: float | None) -> str:
    """A difference of scores in points, with its sign."""
    # Adding zero turns what rounds to minus zero into plus zero.
    return "-" if value is None else f"{round(100 * value, 1) + 0.0:+.1f}"


def entry_text(entry: Entry) -> str:
    """One cell of the table: mean, standard deviation, and what is missing."""
    if entry.mean is None:
        return "failed" if entry.failed else "-"
    text = numbers.plus_minus(100 * entry.mean, entry.deviation and 100 * entry.deviation, 1)
    return text if entry.count == entry.wanted else f"{text} ({entry.count}/{entry.wanted})"


def difference_text(results: AblationResults, line: Line) -> str:
    """A row's difference, with the tasks that it is over where some are missing."""
    text = change(line.difference)
    whole = line.difference is None or line.compared == len(results.tasks)
    return text if whole else f"{text} ({line.compared}/{len(results.tasks)})"


def header(results: AblationResults) -> list[str]:
    """The columns' titles."""
    titles = [f"{task.title} ({task.metric})" for task in results.tasks]
    return ["variant", *titles, "average", f"to {_title(results, results.compare_to)}"]


def row_text(results: AblationResults, line: Line) -> list[str]:
    """One row as text."""
    compared = "" if line.row.name == results.compare_to else difference_text(results, line)
    return [line.row.title, *map(entry_text, line.entries), points(line.average), compared]


def notes(results: AblationResults) -> list[str]:
    """What the table leaves open: seeds, failures, variants that were not run."""
    found = [conditions(results)]
    for row in results.variants:
        if row.skipped:
            found.append(f"{row.title} was not run: {row.skipped}")
    for cell in results.failures():
        reason = " ".join(cell.reason.split())
        found.append(f"{cell.variant} on {cell.task} with seed {cell.seed} failed: {reason}")
    return found


def conditions(results: AblationResults) -> str:
    """What the numbers are, in one line."""
    seeds = {task.title: len(task.seeds) for task in results.tasks}
    counts = ", ".join(f"{title} {count}" for title, count in seeds.items())
    text = "points on the validation rows, which chose the checkpoints too"
    several = any(count > 1 for count in seeds.values())
    if several:
        text += "; mean ± sample standard deviation over seeds"
    return f"{text}; seeds: {counts}"


def plain_table(results: AblationResults) -> str:
    """The table as aligned text."""
    rows = [header(results), *(row_text(results, line) for line in lines(results))]
    out = [f"{results.name}: {results.description}".removesuffix(": "), "", *align(rows, words=1)]
    return "\n".join([*out, "", *(f"note: {note}" for note in notes(results))])


def markdown(results: AblationResults) -> str:
    """The table as Markdown, with the command that made it."""
    titles = header(results)
    text = [
        f"# {results.name}: {results.description}".removesuffix(": "),
        "",
        f"```\n{results.command}\n```",
        "",
        "| " + " | ".join(map(_escape, titles)) + " |",
        "|---|" + "---:|" * (len(titles) - 1),
    ]
    for line in lines(results):
        cells = list(map(_escape, row_text(results, line)))
        if line.row.name == results.compare_to:
            cells[0] = f"**{cells[0]}**"
        text.append("| " + " | ".join(cells) + " |")
    text += ["", *(f"- {_escape(note)}" for note in [*notes(results), *_measured(results)]), ""]
    return "\n".join(text)


def _measured(results: AblationResults) -> list[str]:
    seconds = sum(cell.seconds for cell in results.cells)
    if not seconds:
        return []
    cpu = results.machine.get("cpu", "an unknown processor")
    cores = results.machine.get("cores", "?")
    return [f"{len(results.cells)} cells in {numbers.seconds(seconds)} on {cpu} ({cores} cores)"]


def _title(results: AblationResults, name: str) -> str:
    return next((row.title for row in results.variants if row.name == name), name)


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
