"""The figures of the pages: drawn by matplotlib, each a picture that a page carries in itself."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from distill.evaluation.cells import latency_cell
from distill.evaluation.over_seeds import ModelSpread
from distill.evaluation.results import BASELINE, LINEAR, TEACHER, ModelRow, Results, is_teacher
from distill.report import numbers
from distill.report.run_data import Curve
from distill.report.summary import one_named

#: As in ``report.css``; a figure stands on white, on the dark page too.
COLORS = {
    "muted": "#5a6372",
    "linear": "#8e3b8a",
    "teacher": "#6b7382",
    "baseline": "#b45f06",
    "student": "#2f5fe0",
    "export": "#0a7d5f",
}
_STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # names are text, whatever they hold
    "svg.fonttype": "none",
    "svg.hashsalt": "distill",  # the same numbers give the same file
    "font.size": 12,
    "axes.edgecolor": "#c8ced8",
    "axes.labelcolor": COLORS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e1e5ec",
    "legend.frameon": False,
    "legend.fontsize": 11,
}
_VALIDATION = "validation/"
#: Tell models of one kind apart, which have one colour.
_MARKERS = "osD^vPX*"


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the pages' style; a context and a decorator."""
    with matplotlib.rc_context(_STYLE):
        yield


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one picture, its size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def as_image(figure: Figure, label: str) -> Markup:
    """A figure, drawn within :func:`styled`, as an ``<img>``; ``label`` says what it shows."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    data = base64.b64encode(file.getvalue()).decode("ascii")
    image = Markup('<img class="chart" alt="{}" src="data:image/svg+xml;base64,{}">')
    return image.format(label, data)


def kind_of(row: ModelRow | ModelSpread) -> str:
    """What a model is to the reader, and the name of its colour."""
    if is_teacher(row.name):
        return TEACHER
    if row.name in (LINEAR, BASELINE):
        return row.name
    return "student" if row.format == "transformers" else "export"


@styled()
def loss_chart(stage: str, curves: Mapping[str, Curve]) -> Markup | None:
    """The loss of one stage and its parts; ``None`` where no loss was logged."""
    parts = {name: points for name, points in curves.items() if name.startswith("loss") and points}
    if not parts:
        return None
    if "loss" in parts and len(parts) == 2:
        parts = {"loss": parts["loss"]}  # a single objective is the total
    figure, axes = canvas(5.0, 3.2)
    for key in sorted(parts, key=lambda key: (key != "loss", key)):
        axes.plot(
            *zip(*parts[key], strict=True),
            label="total" if key == "loss" else key.removeprefix("loss/"),
            linewidth=2.0 if key == "loss" else 1.2,
            marker="o" if len(parts[key]) == 1 else None,
        )
    values = [y for points in parts.values() for _, y in points]
    if min(values) > 0 and max(values) / min(values) > 50:
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis)
    axes.set_xlabel("step")
    if len(parts) > 1:
        figure.legend(loc="outside upper center", ncols=3)
    whole = next(iter(parts.values())) if "loss" not in parts else parts["loss"]
    ends = f"{whole[0][1]:.3g} to {whole[-1][1]:.3g}"
    return as_image(figure, f"Loss of stage {stage} by step, from {ends}")


def _plain_numbers(axis: Any) -> None:
    """Label a logarithmic axis in plain numbers: the usual labels are mathematical text."""
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


@styled()
def score_chart(
    curves: Mapping[str, Mapping[str, Curve]], metric: str, kinds: Mapping[str, str]
) -> Markup | None:
    """Validation score of every stage by its own steps; ``None`` where none was logged.

    Args:
        curves: stage -> metric -> points.
        metric: the metric that is the score.
        kinds: stage -> kind; teacher and baseline are dashed.
    """
    scores = {
        stage: metrics[_VALIDATION + metric]
        for stage, metrics in curves.items()
        if metrics.get(_VALIDATION + metric)
    }
    if not scores:
        return None
    figure, axes = canvas(15.0, 4.2)
    for stage, points in scores.items():
        kind = kinds.get(stage, stage)
        other = kind in (TEACHER, BASELINE)
        axes.plot(
            *zip(*points, strict=True), label=stage, marker="o", markersize=4.5,
            linestyle="--" if other else "-", color=COLORS[kind] if other else None,
        )  # fmt: skip
    axes.set_xlabel("optimiser step of the stage")
    axes.set_ylabel(f"validation {metric}")
    figure.legend(loc="outside right center")
    ends = "; ".join(f"{stage} ends at {points[-1][1]:.4f}" for stage, points in scores.items())
    return as_image(figure, f"Validation {metric} by step: {ends}")


@styled()
def latency_chart(results: Results) -> Markup | None:
    """Score against median latency, a point for each model; ``None`` where nothing was timed.

    Models of :func:`far_below` are left out.
    """
    cell = latency_cell(set(results.one.latency_ms))
    hidden = far_below(results)
    rows = [row for row in results.models if cell in row.latency_ms and row.name not in hidden]
    if cell is None or not rows:
        return None
    points = [(row.latency_ms[cell].p50, row.score) for row in rows]
    figure, axes = canvas(7.6, 4.8)
    for row, (x, y), marker in zip(rows, points, _markers(rows), strict=True):
        final = row.name == results.final.name
        axes.scatter(
            [x], [y], s=150 if final else 80, color=COLORS[kind_of(row)], marker=marker, zorder=3,
            edgecolors="black" if final else "white", linewidths=1.6, label=row.name,
        )  # fmt: skip
    axes.plot(*zip(*frontier(points), strict=True), color=COLORS["muted"], linewidth=1.2, zorder=2)
    _log_milliseconds(axes, [x for x, _ in points])
    axes.set_xlabel("median latency, ms (log scale)")
    axes.set_ylabel(results.metric)
    figure.legend(loc="outside upper center", ncols=4)
    label = "; ".join(
        f"{row.name} {numbers.score(row.score)} at {numbers.milliseconds(x)} ms"
        for row, (x, _) in zip(rows, points, strict=True)
    )
    return as_image(figure, f"Score against latency: {label}")


def _markers(rows: Iterable[ModelRow]) -> list[str]:
    seen = [kind_of(row) for row in rows]
    return [_MARKERS[seen[:at].count(kind) % len(_MARKERS)] for at, kind in enumerate(seen)]


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (latency, score) points that no other one beats in both, from the fastest on.

    Example:
        >>> frontier([(8.0, 0.9), (2.0, 0.8), (4.0, 0.7), (1.0, 0.8)])
        [(1.0, 0.8), (8.0, 0.9)]
    """
    kept: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or y > kept[-1][1]:
            kept.append((x, y))
    return kept


def far_below(results: Results) -> list[str]:
    """Models that were trained further and would squeeze the others into one corner."""
    kept = [row.score for row in results.models if not results.is_superseded(row)]
    floor = min(kept) - 0.5 * (max(kept) - min(kept)) - 0.02
    return [r.name for r in results.models if results.is_superseded(r) and r.score < floor]


def _log_milliseconds(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis with ticks at 1, 2 and 5 times powers of ten."""
    low, high = min(values) / 1.6, max(values) * 1.6
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    axes.set_xticks([tick for tick in ticks if low <= tick <= high])
    _plain_numbers(axes.xaxis)


@styled()
def size_chart(results: Results) -> Markup:
    """Megabytes of every model's weight file, as bars."""
    rows, one = results.models, results.one
    figure, axes = canvas(7.6, 4.8)
    bars = axes.barh(
        [row.name for row in rows],
        [row.bytes / 1e6 for row in rows],
        color=[COLORS[kind_of(row)] for row in rows],
    )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    texts = [
        f"{numbers.megabytes(row.bytes)} MB"
        + ("" if row.name == one.name else f"  ({numbers.times(row.ratios.size)})")
        for row in rows
    ]
    axes.bar_label(bars, texts, padding=6)
    axes.set_xlabel(f"weight file, MB (in brackets: times smaller than {one_named(results)})")
    label = "; ".join(f"{row.name} {t}" for row, t in zip(rows, texts, strict=True))
    return as_image(figure, f"Size: {label}")


@styled()
def layer_map_chart(
    pairs: Sequence[tuple[int, int]], teacher_layers: int, student_layers: int
) -> Markup:
    """Which teacher layer each student layer learns from, as pairs from 1; 1 is at the bottom."""
    rows = max(teacher_layers, student_layers)
    figure, axes = canvas(6.0, 0.9 + 0.42 * rows)
    axes.axis("off")
    axes.set(xlim=(-0.3, 1.3), ylim=(-0.6, rows))
    heights = [np.linspace(0, rows - 1, n) for n in (teacher_layers, student_layers)]
    for student, teacher in pairs:
        ends = [heights[0][teacher - 1], heights[1][student - 1]]
        axes.plot([0, 1], ends, color=COLORS["student"], linewidth=2, zorder=1)
    for x, role in enumerate(("teacher", "student")):
        matched = {pair[1 - x] for pair in pairs}
        for number, y in enumerate(heights[x], start=1):
            box = {"boxstyle": "round", "facecolor": "white", "edgecolor": COLORS[role]}
            color = "black" if number in matched else "#9aa1ad"
            axes.text(x, y, f"layer {number}", ha="center", va="center", color=color, bbox=box)
        axes.text(x, rows - 0.3, f"{role}, {len(heights[x])} layers", ha="center", weight="bold")
    return as_image(figure, f"Student layers learn from teacher layers: {describe_map(pairs)}")


def describe_map(pairs: Sequence[tuple[int, int]]) -> str:
    """A layer map as ``1 from 2, 2 from 4, 3 from 6``."""
    return ", ".join(f"{student} from {teacher}" for student, teacher in pairs)


def shortened(text: str, most: int = 12) -> str:
    """A name for a margin, cut where it is very long."""
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"
