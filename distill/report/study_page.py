"""A study's page: its tables, and pictures with a point for each seed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distill.evaluation.over_seeds import ModelSpread, ModelTable
from distill.evaluation.results import LINEAR, is_teacher
from distill.evaluation.study import Row, StudyResults, TrialResult, differences, lines
from distill.report import numbers
from distill.report.figures import COLORS, as_image, canvas, frontier, kind_of, styled
from distill.report.html import machine_facts
from distill.report.numbers import change, score_text
from distill.report.page import render_page
from distill.report.study import measured, notes, reference_title, shown_models, summary
from distill.report.study import tables as text_tables
from distill.system import atomic

_ROW_INCHES = 0.42
#: In points above the middle of a circle; neighbours differ.
_LABEL_HEIGHTS = (15, -17, 28)


def write_page(folder: Path, results: StudyResults) -> Path:
    """Write a study's ``report.html``, finished or not."""
    path = folder / "report.html"
    atomic.write_text(path, render_study(results))
    return path


def render_study(results: StudyResults) -> str:
    """The page as text."""
    lead, comparison = summary(results), difference_chart(results)
    tables = text_tables(results)
    shown = shown_models(results)
    charts: list[Markup | None] = [None] * (len(tables) - len(shown))
    charts += [models_chart(table) for table in shown]
    searched = results.searched
    if searched:
        charts[0] = pareto_chart(results)
    return render_page(
        "study.html.j2",
        results=results,
        lead=lead[:1].upper() + lead[1:],
        # Those of trials and of variants, where there are such, come first.
        tables=list(zip(tables, charts, strict=True)),
        searched=searched,
        comparison=comparison,
        compared=reference_title(results) if len(results.variants) > 1 and not searched else "",
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


def _draw(axes: Axes, y: int, values: Sequence[float], color: str, start: float | None) -> None:
    """A point for each value, and a bar from ``start`` (or a line) to their mean."""
    if not values:
        return
    mean = sum(values) / len(values)
    if start is None:
        axes.plot([mean, mean], [y - 0.36, y + 0.36], color=color, linewidth=2.4)
    else:
        axes.barh(y, mean - start, left=start, height=0.62, color=color, alpha=0.35)
    # Points of a row are set apart, so that equal scores all show.
    apart = [y + 0.5 * ((n + 0.5) / len(values) - 0.5) for n in range(len(values))]
    axes.scatter(values, apart, s=30, color=color, edgecolors="white", linewidths=0.9, zorder=3)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    folded = [textwrap.fill(n, 34, max_lines=2, placeholder=" ...") for n in names]
    axes.set_yticks(range(len(names)), folded)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")


@styled()
def models_chart(table: ModelTable) -> Markup:
    """The models' scores: a point for each seed, a line at their mean.

    What is trained further is left out: far below the others it would push them together.
    """
    shown = [row for row in table.models if not row.superseded]
    figure, axes = canvas(9.6, 1.2 + _ROW_INCHES * len(shown))
    for y, row in enumerate(shown):
        _draw(axes, y, list(row.score.values.values()), COLORS[kind_of(row)], None)
    _name_rows(axes, [row.name for row in shown])
    axes.set_xlabel(f"{table.metric} on the {table.split} examples")
    scores = "; ".join(f"{row.name} {score_text(row.score)}" for row in shown)
    return as_image(figure, f"{table.metric} over seeds: {scores}")


@styled()
def pareto_chart(results: StudyResults) -> Markup | None:
    """:func:`pareto_figure` as an element of a page."""
    figure = pareto_figure(results)
    if figure is None:
        return None
    label = "; ".join(
        f"{row.name} {score_text(one.score)} at {numbers.milliseconds(latency)} ms, "
        f"{numbers.megabytes(one.bytes.mean)} MB"
        for row, one, latency in _timed(results)
    )
    return as_image(figure, f"Score against latency: {label}")


def _timed(results: StudyResults) -> list[tuple[Row, ModelSpread, float]]:
    """The final models that were timed, with their variants and latencies."""
    rows = {row.name: row for row in results.variants}
    finals = [(rows[table.variant], table.final) for table in results.models]
    return [(row, one, one.latency_ms.mean) for row, one in finals if one.latency_ms is not None]


@styled()
def pareto_figure(results: StudyResults) -> Figure | None:
    """Score against latency of every final model, its size as area, and the front.

    Dotted lines are the scores of the teacher and of the linear model. ``None`` where nothing was
    timed.
    """
    timed = _timed(results)
    if not timed:
        return None
    figure, axes = canvas(9.6, 5.0)
    largest = max(one.bytes.mean for _, one, _ in timed)
    for number, (row, one, latency) in enumerate(sorted(timed, key=lambda found: found[2])):
        chosen = results.chosen is not None and results.chosen.variant == row.name
        color = "baseline" if row.within is False else "export" if row.searched else "muted"
        axes.scatter(
            [latency], [one.score.mean], s=60 + 400 * one.bytes.mean / largest, alpha=0.6,
            color=COLORS[color], edgecolors="black" if chosen else "white", zorder=3,
        )  # fmt: skip
        axes.annotate(
            row.title.partition(":")[0], (latency, one.score.mean), ha="center", va="center",
            xytext=(0, _LABEL_HEIGHTS[number % len(_LABEL_HEIGHTS)]), textcoords="offset points",
            fontsize=9, zorder=4,
        )  # fmt: skip
    for model in results.models[0].models:
        if model.name == LINEAR or is_teacher(model.name):
            axes.axhline(model.score.mean, color=COLORS["muted"], linewidth=1, linestyle=":")
            axes.annotate(
                model.name, (1, model.score.mean), xycoords=axes.get_yaxis_transform(),
                ha="right", va="bottom", fontsize=9,
            )  # fmt: skip
    front = frontier([(latency, one.score.mean) for _, one, latency in timed])
    axes.plot(*zip(*front, strict=True), color=COLORS["muted"], linewidth=1.2, zorder=2)
    axes.set_xlabel("median latency of the final model, ms")
    axes.set_ylabel(f"{results.models[0].metric} on the {results.models[0].split} examples")
    return figure


@styled()
def difference_chart(results: StudyResults) -> Markup | None:
    """Bars of every variant's mean difference on every task, with a point for each seed.

    The shaded band is the standard deviation of the variant compared to over its seeds: what
    differs by less may be chance. ``None`` while there is nothing to compare.
    """
    every = {
        row.name: [differences(results, row.name, task) for task in results.tasks]
        for row in results.variants
        if row.name != results.compare_to
    }
    shown = [row for row in results.variants if any(every.get(row.name, []))]
    if not shown:
        return None
    table = lines(results)
    reference = next(line for line in table if line.row.name == results.compare_to)
    figure = Figure(figsize=(15.0, 1.3 + _ROW_INCHES * len(shown)), layout="constrained")
    panels: Any = figure.subplots(1, len(results.tasks), sharey=True, squeeze=False)[0]
    for number, (axes, task) in enumerate(zip(panels, results.tasks, strict=True)):
        if deviation := reference.entries[number].deviation:
            reach = 100 * deviation
            axes.axvspan(-reach, reach, color=COLORS["muted"], alpha=0.14, linewidth=0)
        axes.axvline(0, color=COLORS["muted"], linewidth=1.2)
        for y, row in enumerate(shown):
            points = [100 * value for value in every[row.name][number]]
            _draw(axes, y, points, COLORS["student" if sum(points) >= 0 else "baseline"], 0.0)
        axes.set_title(task.title, fontsize=12)
        axes.set_xlabel(f"{task.metric}, points")
    _name_rows(panels[0], [row.title for row in shown])
    label = "; ".join(
        f"{line.row.title} {change(line.difference)}"
        for line in table
        if line.row in shown and line.difference is not None
    )
    return as_image(figure, f"Difference in points: {label}")
