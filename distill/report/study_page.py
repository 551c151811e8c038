"""A study's page: its tables, and pictures with a point for each seed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from distill.evaluation.over_seeds import ModelSpread, ModelTable
from distill.evaluation.results import BASELINE, LINEAR, is_teacher
from distill.evaluation.study import StudyResults, TrialResult, differences, lines
from distill.report import numbers
from distill.report.html import machine_facts
from distill.report.page import render_page
from distill.report.study import measured, reference_title
from distill.report.study import tables as text_tables
from distill.report.study_words import change, notes, score_text, summary
from distill.report.svg import INKS, chart_style, inline_svg
from distill.system import atomic

_ROW_INCHES = 0.42
#: Points of one row are set apart by so much of its height, so that equal scores all show.
_APART = 0.5
#: Letters of a line of a row's name in the picture, and how many lines it may have.
_LETTERS, _LINES = 34, 2


def write_page(folder: Path, results: StudyResults) -> Path:
    """Write a study's ``report.html``, finished or not."""
    path = folder / "report.html"
    atomic.write_text(path, render_study(results))
    return path


def render_study(results: StudyResults) -> str:
    """The page as text."""
    lead, comparison = summary(results), difference_chart(results)
    charts = [models_chart(table, f"models-{n}") for n, table in enumerate(results.models)]
    tables = text_tables(results)
    return render_page(
        "study.html.j2",
        results=results,
        lead=lead[:1].upper() + lead[1:],
        tables=tables,
        # Every name in a picture is escaped.
        charts=[None] * (len(tables) - len(charts)) + [Markup(chart) for chart in charts],
        comparison=None if comparison is None else Markup(comparison),
        compared=reference_title(results) if len(results.variants) > 1 else "",
        notes=notes(results),
        trials=[_trial(trial, results) for trial in results.trials],
        machine=list(machine_facts(results.machine)),
        total=measured(results),
    )


def _trial(trial: TrialResult, results: StudyResults) -> dict[str, Any]:
    parts = (trial.variant, trial.task, f"seed {trial.seed}")
    return {
        "name": ", ".join(part for part in parts if part),
        "score": "failed" if trial.score is None else numbers.score(trial.score),
        "time": numbers.seconds(trial.seconds),
        "report": f"{trial.folder}/report.html" if trial.evaluated and trial.score else "",
        "chosen": results.chosen is not None and trial.folder == results.chosen.folder,
    }


@dataclass(frozen=True)
class _Bar:
    """A row of a picture: its values, and how it is drawn."""

    values: Sequence[float]
    ink: str


def _draw(axes: Axes, bars: Sequence[_Bar], start: float | None) -> None:
    """A point for each value, and a bar from ``start`` (or a line) to their mean."""
    for place, bar in enumerate(bars):
        if not bar.values:
            continue
        color, mean = INKS[bar.ink], sum(bar.values) / len(bar.values)
        if start is None:
            axes.plot([mean, mean], [place - 0.36, place + 0.36], color=color, linewidth=2.4)
        else:
            axes.barh(place, mean - start, left=start, height=0.62, color=color, alpha=0.35)
        shifts = [_APART * ((n + 0.5) / len(bar.values) - 0.5) for n in range(len(bar.values))]
        axes.scatter(
            bar.values, [place + shift for shift in shifts], s=30, color=color,
            edgecolors=INKS["card"], linewidths=0.9, zorder=3,
        )  # fmt: skip
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4, prune="both"))


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    folded = [textwrap.fill(n, _LETTERS, max_lines=_LINES, placeholder=" ...") for n in names]
    axes.set_yticks(range(len(names)), folded)
    axes.invert_yaxis()


def models_chart(table: ModelTable, name: str) -> str:
    """The models' scores: a point for each seed, a line at their mean.

    What is trained further is left out: far below the others it would push them together.
    """
    shown = [row for row in table.models if not row.superseded]
    with chart_style(name):
        height = 1.2 + _ROW_INCHES * len(shown)
        figure = Figure(figsize=(9.6, height), layout="constrained")
        axes = figure.subplots()
        _draw(axes, [_Bar(list(row.score.values.values()), _ink(row)) for row in shown], None)
        _name_rows(axes, [row.name for row in shown])
        axes.set_xlabel(f"{table.metric} on the {table.split} examples")
        told = "; ".join(f"{row.name} {score_text(row.score)}" for row in shown)
        return inline_svg(figure, name, f"{table.metric} over seeds: {told}")


def difference_chart(results: StudyResults) -> str | None:
    """Bars of every variant's mean difference on every task, with a point for each seed.

    The shaded band is the standard deviation of the variant compared to over its seeds: what
    differs by less may be chance. ``None`` while there is nothing to compare.
    """
    found = {
        row.name: [differences(results, row.name, task) for task in results.tasks]
        for row in results.variants
        if row.name != results.compare_to
    }
    shown = [row for row in results.variants if any(found.get(row.name, []))]
    if not shown:
        return None
    of_reference = next(x for x in lines(results) if x.row.name == results.compare_to)
    with chart_style("differences"):
        size = (15.6, 1.3 + _ROW_INCHES * len(shown))
        figure = Figure(figsize=size, layout="constrained")
        panels: Any = figure.subplots(1, len(results.tasks), sharey=True, squeeze=False)[0]
        for number, (axes, task) in enumerate(zip(panels, results.tasks, strict=True)):
            if deviation := of_reference.entries[number].deviation:
                reach = 100 * deviation
                axes.axvspan(-reach, reach, color=INKS["muted"], alpha=0.14, linewidth=0)
            axes.axvline(0, color=INKS["muted"], linewidth=1.2)
            points = [[100 * value for value in found[row.name][number]] for row in shown]
            inks = ["student" if sum(values) >= 0 else "baseline" for values in points]
            _draw(axes, [_Bar(*one) for one in zip(points, inks, strict=True)], 0.0)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}" if x else "0"))
            axes.set_title(task.title, color=INKS["ink"], fontsize=12)
            axes.set_xlabel(f"{task.metric}, points")
        _name_rows(panels[0], [row.title for row in shown])
        label = "; ".join(
            f"{line.row.title} {change(line.difference)}"
            for line in lines(results)
            if line.row in shown and line.difference is not None
        )
        return inline_svg(figure, "differences", f"Difference in points: {label}")


def _ink(row: ModelSpread) -> str:
    if is_teacher(row.name):
        return "teacher"
    if row.name in (LINEAR, BASELINE):
        return row.name
    return "student" if row.format == "transformers" else "export"
