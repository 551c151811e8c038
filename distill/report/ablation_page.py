"""An ablation's page: the table, and what each variant gains or loses on each task."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from distill import atomic
from distill.evaluation.ablation import AblationResults, Column, Line, differences, lines
from distill.evaluation.results import is_teacher
from distill.report import numbers
from distill.report.ablation_table import change, conditions, header, notes, row_text
from distill.report.html import machine_facts
from distill.report.page import render_page
from distill.report.svg import INKS, chart_style, inline_svg

_ROW_INCHES = 0.42
#: Letters of a line of a variant's name in the picture, and how many lines it may have.
_LETTERS, _LINES = 34, 2


def write_page(path: Path, results: AblationResults) -> None:
    """Write an ablation's ``report.html``, finished or not."""
    atomic.write_text(path, render_ablation(results))


def render_ablation(results: AblationResults) -> str:
    """The page as text."""
    found = lines(results)
    chart = difference_chart(results)
    return render_page(
        "ablation.html.j2",
        results=results,
        lead=_lead(found),
        header=header(results),
        rows=[(line.row.name == results.compare_to, row_text(results, line)) for line in found],
        chart=None if chart is None else Markup(chart),  # every name in it is escaped
        compared=next(r.title for r in results.variants if r.name == results.compare_to),
        conditions=_sentence(conditions(results)),
        notes=notes(results)[1:],
        machine=list(machine_facts(results.machine)),
        total=_total(results),
    )


def _lead(found: list[Line]) -> str:
    """The one thing to take away: what loses most and what gains most."""
    told = [
        line
        for line in found
        # The teacher is what is aimed at, and no change of the student.
        if line.difference and line.average is not None and not is_teacher(line.row.name)
    ]
    if not told:
        return "No two variants have been tried on every task yet"
    told.sort(key=lambda line: line.difference or 0.0)
    worst, best = told[0], told[-1]
    parts = []
    if (worst.difference or 0) < 0:
        parts.append(f"{worst.row.title} costs most ({change(worst.difference)} points)")
    if (best.difference or 0) > 0:
        parts.append(f"{best.row.title} gains most ({change(best.difference)} points)")
    return _sentence("; ".join(parts))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _total(results: AblationResults) -> str:
    seconds = sum(cell.seconds for cell in results.cells)
    return f"{len(results.cells)} cells, {numbers.seconds(seconds)}"


def difference_chart(results: AblationResults) -> str | None:
    """Bars of every variant's mean difference on every task, with a point for each seed.

    The shaded band is the standard deviation of the variant compared to over its seeds: what
    differs by less may be chance.

    Returns:
        The picture; ``None`` while there is nothing to compare.
    """
    shown = [row for row in results.variants if row.name != results.compare_to]
    found = {
        (row.name, task.name): differences(results, row.name, task)
        for row in shown
        for task in results.tasks
    }
    shown = [row for row in shown if any(found[row.name, task.name] for task in results.tasks)]
    if not shown:
        return None
    with chart_style("differences"):
        figure = Figure(figsize=(15.6, 1.3 + _ROW_INCHES * len(shown)), layout="constrained")
        panels: Any = figure.subplots(1, len(results.tasks), sharey=True, squeeze=False)[0]
        for axes, task in zip(panels, results.tasks, strict=True):
            _draw(axes, results, task, [found[row.name, task.name] for row in shown])
        names = [row.title for row in shown]
        panels[0].set_yticks(range(len(shown)), [_folded(name) for name in names])
        panels[0].invert_yaxis()
        label = "; ".join(
            f"{line.row.title} {change(line.difference)}"
            for line in lines(results)
            if line.row in shown and line.difference is not None
        )
        return inline_svg(figure, "differences", f"Difference in points: {label}")


def _draw(axes: Axes, results: AblationResults, task: Column, found: list[list[float]]) -> None:
    entry = next(
        line.entries[results.tasks.index(task)]
        for line in lines(results)
        if line.row.name == results.compare_to
    )
    if entry.deviation is not None:
        reach = 100 * entry.deviation
        axes.axvspan(-reach, reach, color=INKS["muted"], alpha=0.14, linewidth=0)
    axes.axvline(0, color=INKS["muted"], linewidth=1.2)
    for place, values in enumerate(found):
        if not values:
            continue
        points = [100 * value for value in values]
        color = INKS["student"] if sum(points) >= 0 else INKS["baseline"]
        axes.barh(place, sum(points) / len(points), height=0.62, color=color, alpha=0.35)
        axes.scatter(
            points, [place] * len(points), s=26, color=color, edgecolors=INKS["card"], zorder=3,
            linewidths=0.8,
        )  # fmt: skip
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4, prune="both"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}" if value else "0"))
    axes.set_title(task.title, color=INKS["ink"], fontsize=12)
    axes.set_xlabel(f"{task.metric}, points")


def _folded(name: str) -> str:
    """A variant's name in few lines, cut where it is very long."""
    return textwrap.fill(name, _LETTERS, max_lines=_LINES, placeholder=" ...")
