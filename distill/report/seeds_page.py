"""The page of several seeds: the table, a point for each seed, and the way to each one's report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from distill import atomic
from distill.evaluation.results import BASELINE, is_teacher
from distill.evaluation.seeds import SeedResults, SeedRow
from distill.recipe.run_models import seed_folder
from distill.report import numbers
from distill.report.html import machine_facts
from distill.report.page import render_page
from distill.report.run_data import read_run
from distill.report.seeds_table import caption, header, notes, row_text, score_text, summary
from distill.report.svg import INKS, chart_style, inline_svg

_ROW_INCHES = 0.42
#: Points of one model are set apart by so much of a row, so that equal scores all show.
_APART = 0.5


def write_page(run: Path, results: SeedResults) -> Path:
    """Write ``report.html`` into the run folder of several seeds, finished or not."""
    path = run / "report.html"
    atomic.write_text(path, render(run, results))
    return path


def render(run: Path, results: SeedResults) -> str:
    """The page as text."""
    told = caption(results)
    return render_page(
        "seeds.html.j2",
        results=results,
        summary=summary(results),
        caption=told[:1].upper() + told[1:],
        header=header(results),
        rows=[(row is results.final, row_text(results, row)) for row in results.models],
        notes=notes(results),
        left_out=[
            f"{row.name} ({score_text(row.score)})" for row in results.models if row.superseded
        ],
        chart=Markup(seed_chart(results)),  # every name in it is escaped
        seeds=[_seed(run, seed, results) for seed in results.seeds],
        machine=list(machine_facts(results.machine)),
        recipe=(run / "recipe.yaml").read_text("utf-8"),
        run_name=run.resolve().name,
    )


def _seed(run: Path, seed: int, results: SeedResults) -> dict[str, Any]:
    folder = seed_folder(run, seed)
    spent = [stage.seconds for stage in read_run(folder).stages if stage.seconds is not None]
    final = results.final
    share = final.retention.values.get(seed) if final.retention else None
    return {
        "seed": str(seed),
        "report": f"{folder.name}/report.html",
        "score": numbers.score(final.score.values[seed]) if seed in final.score.values else "-",
        "retention": numbers.percent(share),
        "time": numbers.seconds(sum(spent)) if spent else "-",
        "chosen": seed == results.chosen.seed,
    }


def seed_chart(results: SeedResults) -> str:
    """The models' scores: a point for each seed, a line at their mean, a band of one deviation.

    What is trained further is left out: far below the others it would push them together.
    """
    with chart_style("seeds"):
        shown = [row for row in results.models if not row.superseded]
        height = 1.2 + _ROW_INCHES * len(shown)
        figure = Figure(figsize=(9.6, height), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(shown):
            color = INKS[_ink(row)]
            mean, deviation = row.score.mean, row.score.deviation
            if deviation is not None:
                axes.barh(
                    place, 2 * deviation, left=mean - deviation, height=0.72, color=color, alpha=0.2
                )
            axes.plot([mean, mean], [place - 0.36, place + 0.36], color=color, linewidth=2.4)
            points = list(row.score.values.values())
            axes.scatter(
                points, [place + shift for shift in _shifts(len(points))], s=34, color=color,
                edgecolors=INKS["card"], linewidths=0.9, zorder=3,
            )  # fmt: skip
        axes.set_yticks(range(len(shown)), [row.name for row in shown])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{results.metric} on the {results.split} rows")
        told = "; ".join(f"{row.name} {score_text(row.score)}" for row in shown)
        return inline_svg(figure, "seeds", f"{results.metric} over seeds: {told}")


def _shifts(count: int) -> list[float]:
    """Places of a model's points across its row, evenly about its middle."""
    return [_APART * ((number + 0.5) / count - 0.5) for number in range(count)]


def _ink(row: SeedRow) -> str:
    if is_teacher(row.name):
        return "teacher"
    if row.name == BASELINE:
        return "baseline"
    return "student" if row.format == "transformers" else "export"
