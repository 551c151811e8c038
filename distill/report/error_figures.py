"""Figures of an error analysis: confusions, reliability, predicted against true numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from distill.evaluation.error_analysis import Predictions
from distill.evaluation.results import TEACHER, ModelRow
from distill.report import numbers
from distill.report.figures import COLORS, as_image, canvas, kind_of, shortened, styled
from distill.tasks.decoder import Scatter

#: Points of a scatter: more make the page heavy and cover each other.
_MOST_POINTS = 1200
_DASHED = (0, (4, 4))


@styled()
def confusion_chart(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> Markup:
    """The confusion matrix of many labels, each row by its own sum.

    Args:
        matrix: counts, a row for each true label and a column for each predicted one.
        labels: their names.
    """
    counts = np.asarray(matrix, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [shortened(label) for label in labels]
    side, font = 8.0, min(10.0, 400 / len(names))
    figure, axes = canvas(side, side)
    # The root makes the small shares of errors visible.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0.0, vmax=1.0)
    axes.grid(visible=False)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=font)
    axes.set_yticks(range(len(names)), names, fontsize=font)
    axes.set(xlabel="predicted", ylabel="true")
    right = float(np.trace(counts) / max(counts.sum(), 1))
    label = f"Confusion matrix of {len(names)} labels, true ones in rows: {right:.1%}"
    return as_image(figure, f"{label} on the diagonal")


@styled()
def reliability_chart(rows: Sequence[ModelRow]) -> Markup:
    """How often each model is right by how sure it is; on the diagonal it is honest."""
    figure, axes = canvas(7.6, 5.2)
    axes.plot([0, 1], [0, 1], color=COLORS["muted"], linewidth=1, linestyle=_DASHED)
    kinds = [kind_of(row) for row in rows]
    for number, row in enumerate(rows):
        if row.calibration is None:
            continue
        # A second model of a kind gets another colour.
        color = "#b4388f" if kinds[number] in kinds[:number] else COLORS[kinds[number]]
        bins = row.calibration.bins
        whole = sum(one.rows for one in bins)
        sure, right = [one.confidence for one in bins], [one.accuracy for one in bins]
        axes.plot(sure, right, color=color, linewidth=1.6, label=row.name)
        axes.scatter(sure, right, s=[16 + 220 * one.rows / whole for one in bins], color=color)
    axes.set_ylim(-0.03, 1.03)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("confidence (larger points: more examples)")
    axes.set_ylabel("share that is correct")
    axes.legend(loc="lower right")
    errors = "; ".join(
        f"{row.name} {numbers.score(row.calibration.ece)}" for row in rows if row.calibration
    )
    return as_image(figure, f"Reliability, calibration errors: {errors}")


@styled()
def scatter_chart(predictions: Predictions, model: str, scatter: Scatter) -> Markup:
    """Numbers predicted by the teacher and by a model, against the true ones."""
    true = np.asarray(predictions.shared["targets"], dtype=np.float64)
    rows = np.unique(np.linspace(0, len(true) - 1, min(len(true), _MOST_POINTS)).astype(int))
    names = [name for name in (TEACHER, model) if name in predictions.models]
    figure = Figure(figsize=(15.0, 6.4), layout="constrained")
    panels = figure.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
    words = []
    for axes, name, color in zip(panels, names, ("teacher", "student"), strict=False):
        values = predictions.models[name]["outputs"][:, 0]
        if scatter.same_scale:
            ends = [true.min(), true.max()]
            axes.plot(ends, ends, color=COLORS["muted"], linewidth=1, linestyle=_DASHED)
        axes.scatter(true[rows], values[rows], s=16, color=COLORS[color], alpha=0.5, linewidths=0)
        axes.set_title(name, fontsize=13)
        axes.set_xlabel(scatter.x)
        off = f" is {np.abs(values - true).mean():.3f} off in the mean"
        words.append(f"{name}{off}" if scatter.same_scale else name)
    panels[0].set_ylabel(scatter.y)
    return as_image(figure, f"{scatter.title}, {len(true):,} examples: {'; '.join(words)}")
