"""The report's charts: curves of training, score against latency, sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from distill.evaluation.cells import latency_cell
from distill.evaluation.results import BASELINE, LINEAR, TEACHER, ModelRow, Results, is_teacher
from distill.report import numbers
from distill.report.labels import place_labels, spread
from distill.report.run_data import Curve
from distill.report.svg import INKS, chart_style, inline_svg

_VALIDATION = "validation/"
#: Behind labels, so that a line that crosses one does not strike it through.
_BACKGROUND = {"facecolor": INKS["card"], "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
_SMOOTH_FROM = 40  # a curve with fewer points is drawn as it is


def kind_of(row: ModelRow) -> str:
    """What a model is to the reader, and the name of its colour."""
    if is_teacher(row.name):
        return TEACHER
    if row.name in (LINEAR, BASELINE):
        return row.name
    return "student" if row.format == "transformers" else "export"


def loss_chart(stage: str, curves: Mapping[str, Curve]) -> str | None:
    """The loss of one stage and its parts; ``None`` where no loss was logged."""
    parts = {name: points for name, points in curves.items() if name.startswith("loss") and points}
    if not parts:
        return None
    if "loss" in parts and len(parts) == 2:
        parts = {"loss": parts["loss"]}  # a single objective is the total
    name = f"loss-{_slug(stage)}"
    with chart_style(name):
        figure = Figure(figsize=(5.0, 2.9), layout="constrained")
        axes = figure.subplots()
        for index, key in enumerate(sorted(parts, key=lambda key: (key != "loss", key))):
            _draw_loss(axes, key, parts[key], index, alone=len(parts) == 1)
        _log_if_wide(axes, [y for points in parts.values() for _, y in points])
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_xlim(0, 1.02 * max(points[-1][0] for points in parts.values()) or 1)
        if len(parts) > 1:
            axes.legend(
                loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=11.5,
                handlelength=1.2, columnspacing=1.2, labelcolor=INKS["muted"],
            )  # fmt: skip
        label = f"Loss of stage {stage} by step, from {_ends(parts.get('loss'))}"
        return inline_svg(figure, name, label)


def _draw_loss(axes: Axes, key: str, points: Curve, index: int, *, alone: bool) -> None:
    color = INKS["student"] if key == "loss" else INKS[f"series-{(index - 1) % 6 + 1}"]
    steps = [x for x, _ in points]
    values = [y for _, y in points]
    smooth = _smoothed(values)
    if smooth is not values and key == "loss":
        axes.plot(steps, values, color=color, linewidth=0.7, alpha=0.3)
    label = "total" if key == "loss" else key.removeprefix("loss/")
    width = 2.0 if key == "loss" else 1.3
    marker = "o" if len(points) == 1 else None
    axes.plot(
        steps, smooth, color=color, linewidth=width, marker=marker, label=None if alone else label
    )


def _smoothed(values: list[float]) -> list[float]:
    """Mean over a window of about a twelfth of the curve around each point."""
    if len(values) < _SMOOTH_FROM:
        return values
    reach = len(values) // 24
    windows = (values[max(0, i - reach) : i + reach + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _log_if_wide(axes: Axes, values: Sequence[float]) -> None:
    if values and min(values) > 0 and max(values) / min(values) > 50:
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        # The usual labels are mathematical text, which is not drawn when text stays text.
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _ends(points: Curve | None) -> str:
    return f"{points[0][1]:.3g} to {points[-1][1]:.3g}" if points else "start to end"


def score_chart(
    curves: Mapping[str, Mapping[str, Curve]], metric: str, kinds: Mapping[str, str]
) -> str | None:
    """Validation score of every stage by its own steps; ``None`` where none was logged.

    Args:
        curves: stage -> metric -> points.
        metric: the metric that is the score.
        kinds: stage -> kind, for the colours.
    """
    found = {
        stage: metrics[_VALIDATION + metric]
        for stage, metrics in curves.items()
        if metrics.get(_VALIDATION + metric)
    }
    if not found:
        return None
    with chart_style("scores"):
        figure = Figure(figsize=(15.6, 4.2), layout="constrained")
        axes = figure.subplots()
        colors = _stage_colors(found, kinds)
        for stage, points in found.items():
            steps, values = [x for x, _ in points], [y for _, y in points]
            axes.plot(
                steps, values, color=colors[stage], linewidth=2, marker="o", markersize=4.5,
                linestyle="--" if kinds.get(stage, stage) in (TEACHER, BASELINE) else "-",
            )  # fmt: skip
        longest = max(points[-1][0] for points in found.values())
        axes.set_xlim(0, longest * 1.14)
        axes.margins(y=0.12)
        _label_ends(figure, axes, found, colors)
        axes.set_xlabel("optimiser step of the stage")
        axes.set_ylabel(f"validation {metric}")
        label = "; ".join(f"{stage} ends at {points[-1][1]:.4f}" for stage, points in found.items())
        return inline_svg(figure, "scores", f"Validation {metric} by step: {label}")


def _stage_colors(found: Mapping[str, Curve], kinds: Mapping[str, str]) -> dict[str, str]:
    colors, others = {}, 0
    for stage in found:
        kind = kinds.get(stage, stage)
        if kind in (TEACHER, BASELINE):
            colors[stage] = INKS[kind]
            continue
        colors[stage] = INKS["student"] if others == 0 else INKS[f"series-{(others - 1) % 6 + 1}"]
        others += 1
    return colors


def _label_ends(
    figure: Figure, axes: Axes, found: Mapping[str, Curve], colors: Mapping[str, str]
) -> None:
    """Write each line's name behind its last point, moved apart where they would collide."""
    FigureCanvasAgg(figure).draw()
    scale = 72 / figure.dpi
    ends = {stage: points[-1] for stage, points in found.items()}
    pixels = {stage: axes.transData.transform(end) * scale for stage, end in ends.items()}
    # Only labels that share some horizontal room need to be kept apart.
    stages = list(ends)
    heights = [float(pixels[stage][1]) for stage in stages]
    moved = dict(zip(stages, heights, strict=True))
    for stage in stages:
        near = [s for s in stages if abs(pixels[s][0] - pixels[stage][0]) < 110]
        apart = spread([float(pixels[s][1]) for s in near], 15)
        moved[stage] = apart[near.index(stage)]
    for stage in stages:
        axes.annotate(
            stage, ends[stage], xytext=(10, moved[stage] - float(pixels[stage][1])),
            textcoords="offset points", va="center", color=colors[stage], fontsize=12,
            bbox=_BACKGROUND,
        )  # fmt: skip


def latency_chart(results: Results) -> tuple[str, list[str]] | None:
    """Score against median latency, one labelled point a model.

    Returns:
        The picture and the names of models left out of it because a later stage trained them
        further and they lie far below; ``None`` where nothing was timed.
    """
    cell = latency_cell(set(results.teacher.latency_ms))
    timed = [row for row in results.models if cell in row.latency_ms]
    if cell is None or not timed:
        return None
    left_out = _far_below(results)
    rows = [row for row in timed if row.name not in left_out]
    points = [(row.latency_ms[cell].p50, row.score) for row in rows]
    with chart_style("latency"):
        figure = Figure(figsize=(7.6, 4.4), layout="constrained")
        axes = figure.subplots()
        for row, (x, y) in zip(rows, points, strict=True):
            final = row.name == results.final.name
            axes.scatter(
                [x], [y], s=170 if final else 90, color=INKS[kind_of(row)], zorder=3,
                edgecolors=INKS["ink"] if final else INKS["card"], linewidths=1.6,
            )  # fmt: skip
        edge = frontier(points)
        axes.plot(*zip(*edge, strict=True), color=INKS["muted"], linewidth=1.2, zorder=2)
        _log_milliseconds(axes, [x for x, _ in points])
        axes.margins(y=0.22)
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel("median latency, ms (log scale)")
        axes.set_ylabel(results.metric)
        _label_points(figure, axes, [row.name for row in rows], points)
        label = "; ".join(
            f"{row.name} {numbers.score(row.score)} at {numbers.milliseconds(x)} ms"
            for row, (x, _) in zip(rows, points, strict=True)
        )
        return inline_svg(figure, "latency", f"Score against latency: {label}"), left_out


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


def _far_below(results: Results) -> list[str]:
    """Models that were trained further and would squeeze the others into one corner."""
    kept = [row.score for row in results.models if not results.is_superseded(row)]
    floor = min(kept) - 0.5 * (max(kept) - min(kept)) - 0.02
    return [r.name for r in results.models if results.is_superseded(r) and r.score < floor]


def _log_milliseconds(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis with ticks at 1, 2 and 5 times powers of ten, written as numbers."""
    low, high = min(values) / 1.6, max(values) * 1.9
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    axes.set_xticks([tick for tick in ticks if low <= tick <= high])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _label_points(
    figure: Figure, axes: Axes, names: Sequence[str], points: Sequence[tuple[float, float]]
) -> None:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    scale = 72 / figure.dpi
    spots = [tuple(axes.transData.transform(point) * scale) for point in points]
    frame = tuple(value * scale for value in axes.get_window_extent().extents)
    # Sans-serif fonts take about 0.56 of their size a letter; the page's own font is not known.
    sizes = [(len(name) * 12 * 0.56 + 2, 14.0) for name in names]
    places = place_labels(spots, sizes, frame)  # type: ignore[arg-type]
    for name, point, (ha, va, dx, dy) in zip(names, points, places, strict=True):
        far = math.hypot(dx, dy) > 18
        axes.annotate(
            name, point, xytext=(dx, dy), textcoords="offset points", ha=ha, va=va, fontsize=12,
            bbox=_BACKGROUND,
            arrowprops={"arrowstyle": "-", "color": INKS["muted"], "lw": 0.7} if far else None,
        )  # fmt: skip


def size_chart(results: Results) -> str:
    """Megabytes of every model's weight file, as bars."""
    rows = results.models
    with chart_style("sizes"):
        figure = Figure(figsize=(7.6, 4.4), layout="constrained")
        axes = figure.subplots()
        values = [row.bytes / 1e6 for row in rows]
        bars = axes.barh(
            range(len(rows)), values, height=0.62, color=[INKS[kind_of(row)] for row in rows]
        )
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INKS["ink"], labelsize=12)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlim(0, max(values) * 1.24)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        texts = [
            f"{numbers.megabytes(row.bytes)} MB"
            + ("" if row.name == TEACHER else f"  ({numbers.times(row.ratios.size)})")
            for row in rows
        ]
        axes.bar_label(bars, texts, padding=6, fontsize=12)
        axes.set_xlabel("weight file, MB (in brackets: times smaller than the teacher)")
        label = "; ".join(f"{row.name} {t}" for row, t in zip(rows, texts, strict=True))
        return inline_svg(figure, "sizes", f"Size: {label}")


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text)
