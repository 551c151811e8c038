"""Pictures of mistakes: the confusion matrix, reliability, predicted against true numbers."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from distill.evaluation.error_analysis import Predictions
from distill.evaluation.results import TEACHER, ModelRow
from distill.report import numbers
from distill.report.attention_map import picture, told
from distill.report.charts import kind_of
from distill.report.svg import INKS, chart_style, inline_svg
from distill.tasks.decoder import Scatter

#: Points of a scatter: more make the page heavy and cover each other.
_MOST_POINTS = 1200
_SIDE = 640.0


def confusion_map(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """The confusion matrix of many labels as an ``<svg>`` element, each row by its own sum.

    Args:
        matrix: counts, a row for each true label and a column for each predicted one.
        labels: their names.
    """
    counts = np.asarray(matrix, dtype=np.float32)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(labels)
    cell = _SIDE / size
    font = min(12.0, 0.9 * cell)
    names = [told(label) for label in labels]
    margin = 0.62 * font * max(map(len, names)) + 8
    side = margin + _SIDE + 2
    marks = "".join(
        f'<text class="row" x="{margin - 5:.1f}" y="{margin + (k + 0.5) * cell:.1f}">{safe}</text>'
        f'<text transform="translate({margin + (k + 0.5) * cell:.1f} {margin - 5:.1f}) '
        f'rotate(-90)">{safe}</text>'
        for k, safe in enumerate(map(html.escape, names))
    )
    return (
        f'<svg class="confusion" viewBox="0 0 {side:.0f} {side:.0f}" role="img" '
        f'style="font-size:{font:.1f}px" aria-label="Confusion matrix of {size} labels, '
        f'true ones in rows: {float(np.trace(counts) / max(counts.sum(), 1)):.1%} on the diagonal">'
        f'<image x="{margin:.1f}" y="{margin:.1f}" width="{_SIDE:g}" height="{_SIDE:g}" '
        f'preserveAspectRatio="none" href="{picture(shares)}"/>'
        f'<rect class="frame" x="{margin:.1f}" y="{margin:.1f}" width="{_SIDE:g}" '
        f'height="{_SIDE:g}"/>{marks}</svg>'
    )


def reliability_chart(rows: Sequence[ModelRow]) -> str:
    """How often each model is right by how sure it is; on the diagonal it is honest."""
    with chart_style("reliability"):
        figure = Figure(figsize=(7.6, 5.2), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=INKS["muted"], linewidth=1, linestyle=(0, (4, 4)))
        lowest = 1.0
        for row, color in zip(rows, _colors(rows), strict=True):
            if row.calibration is None:
                continue
            bins = row.calibration.bins
            whole = sum(one.rows for one in bins)
            sure, right = [one.confidence for one in bins], [one.accuracy for one in bins]
            axes.plot(sure, right, color=color, linewidth=1.6, label=row.name)
            sizes = [16 + 220 * one.rows / whole for one in bins]
            axes.scatter(sure, right, s=sizes, color=color, edgecolors=INKS["card"], zorder=3)
            lowest = min(lowest, *sure)
        axes.set_xlim(max(0.0, lowest - 0.04), 1.02)
        axes.set_ylim(-0.03, 1.03)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("how sure it is (larger points: more rows)")
        axes.set_ylabel("how often it is right")
        axes.legend(loc="lower right", fontsize=12, labelcolor=INKS["ink"], handlelength=1.4)
        said = "; ".join(
            f"{row.name} {numbers.score(row.calibration.ece)}" for row in rows if row.calibration
        )
        return inline_svg(figure, "reliability", f"Reliability, calibration errors: {said}")


def _colors(rows: Sequence[ModelRow]) -> list[str]:
    """Each kind's own colour; a second model of a kind gets another."""
    found: list[str] = []
    for row in rows:
        color = INKS[kind_of(row)]
        found.append(INKS["series-1"] if color in found else color)
    return found


def scatter_chart(predictions: Predictions, model: str, scatter: Scatter) -> str:
    """Numbers predicted by the teacher and by a model, against the true ones."""
    true = np.asarray(predictions.shared["targets"], dtype=np.float64)
    rows = np.unique(np.linspace(0, len(true) - 1, min(len(true), _MOST_POINTS)).astype(int))
    with chart_style("scatter"):
        figure = Figure(figsize=(15.6, 6.4), layout="constrained")
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        names = [name for name in (TEACHER, model) if name in predictions.models]
        values = {name: predictions.models[name]["outputs"][:, 0] for name in names}
        for axes, name, color in zip(panels, names, ("teacher", "student"), strict=False):
            if scatter.same_scale:
                ends = [true.min(), true.max()]
                axes.plot(ends, ends, color=INKS["muted"], linewidth=1, linestyle=(0, (4, 4)))
            axes.scatter(
                true[rows], values[name][rows], s=16, color=INKS[color], alpha=0.5, linewidths=0
            )
            axes.set_title(name, color=INKS["ink"], fontsize=13)
            axes.set_xlabel(scatter.x)
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        panels[0].set_ylabel(scatter.y)
        words = [
            f"{name} is {np.abs(values[name] - true).mean():.3f} off in the mean"
            if scatter.same_scale
            else name
            for name in names
        ]
        title = f"{scatter.title}, {len(true):,} examples: {'; '.join(words)}"
        return inline_svg(figure, "scatter", title)
