"""The report: one self-contained page made from a run folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from distill.evaluation.cells import latency_cell, throughput_cell
from distill.evaluation.results import TEACHER, Results
from distill.report import numbers
from distill.report.error_tables import error_sections
from distill.report.figures import (
    far_below,
    kind_of,
    latency_chart,
    layer_map_chart,
    loss_chart,
    score_chart,
    size_chart,
)
from distill.report.ledger import ledger_conditions, ledger_table
from distill.report.page import fact, render_page
from distill.report.run_data import (
    LayerPairs,
    RunData,
    StageFacts,
    held_out,
    held_out_table,
    read_run,
)
from distill.report.summary import conditions, one_named
from distill.report.table import described
from distill.runtime.manifest import predict_command
from distill.system import atomic

_LEGEND = {
    "linear": "linear: needs no neural network",
    "teacher": "teacher",
    "baseline": "baseline: the student trained on labels only",
    "student": "student",
    "export": "exported format",
}


def render_report(run_folder: Path) -> Path:
    """Write ``report.html`` into a run folder, finished or not, as often as wanted.

    Raises:
        RunFolderError: it is not a run folder, or its files cannot be read.
    """
    path = run_folder / "report.html"
    atomic.write_text(path, render(read_run(run_folder)))
    return path


def render(run: RunData) -> str:
    """The page as text."""
    return render_page(
        "report.html.j2",
        **_recipe(run),
        **_data(run),
        **_training(run),
        **_measured(run),
        **error_sections(run),
    )


def _recipe(run: RunData) -> dict[str, Any]:
    recipe, name = run.settings, run.path.resolve().name
    losses = held_out(run)
    evaluates = any(stage["kind"] == "evaluate" for stage in recipe.get("stages", ()))
    then = "evaluate" if losses else f"compare {name}" if evaluates else "report"
    again = f"distill run recipe.yaml --run-dir {name}-again\ndistill {then} {name}-again"
    commands = [("Save the recipe below as recipe.yaml, then:", again)]
    if (run.path / "bundle" / "distill.json").is_file():
        use = predict_command(run.path / "bundle", f"{name}/bundle")
        commands.append(("Use the bundle:", use))
    return {
        "name": recipe.get("name", name),
        "description": recipe.get("description", ""),
        "recipe": run.recipe,
        "run_name": name,
        "commands": commands,
        "results": run.results,
        "evaluates": evaluates,
        "held_out": held_out_table(losses) if losses else [],
    }


def _data(run: RunData) -> dict[str, Any]:
    """How many examples there are, how many of them are cut, and notes on them."""
    cut = run.data.get("cut", {})
    rows = [
        (
            name,
            f"{count:,}",
            f"{cut[name]['cut']:,} ({cut[name]['cut'] / max(count, 1):.1%})"
            if name in cut
            else "-",
            f"{cut[name]['longest']:,}" if name in cut else "-",
            f"{cut[name]['keeps_99']:,}" if name in cut else "-",
        )
        for name, count in run.data.get("rows", {}).items()
    ]
    return {
        "data_rows": rows,
        "data_max_length": run.data.get("max_length"),
        "data_notes": run.data.get("notes", []),
    }


def _training(run: RunData) -> dict[str, Any]:
    kinds = {stage.name: stage.kind for stage in run.stages}
    metric = run.results.metric if run.results else run.settings.get("task", {}).get("metric", "")
    scores = score_chart(run.curves, metric, kinds)
    losses = [(stage, loss_chart(stage, curves)) for stage, curves in run.curves.items()]
    seconds = [stage.seconds for stage in run.stages if stage.seconds is not None]
    return {
        "score_chart": scores,
        "loss_charts": [(stage, chart) for stage, chart in losses if chart],
        "stages": [_stage(stage) for stage in run.stages],
        "total_seconds": numbers.seconds(sum(seconds)) if seconds else "",
        "maps": _layer_maps(run.stages),
        "examples": [example for stage in run.stages for example in stage.augmented],
    }


def _layer_maps(stages: Iterable[StageFacts]) -> list[tuple[list[str], Markup]]:
    groups: dict[tuple[LayerPairs, int, int], list[str]] = {}
    for stage in stages:
        if stage.layer_map:
            teacher = max(stage.teacher_layers or 0, *(t for _, t in stage.layer_map))
            student = max(stage.student_layers or 0, *(s for s, _ in stage.layer_map))
            groups.setdefault((stage.layer_map, teacher, student), []).append(stage.name)
    return [(names, layer_map_chart(*drawn)) for drawn, names in groups.items()]


def _stage(stage: StageFacts) -> dict[str, str]:
    return {
        "name": stage.name,
        "kind": stage.kind,
        "time": "-" if stage.seconds is None else numbers.seconds(stage.seconds),
        "score": "-" if stage.score is None else numbers.score(stage.score),
        "notes": "; ".join(stage.notes),
    }


def _measured(run: RunData) -> dict[str, Any]:
    results = run.results
    if results is None:
        return {"facts": [], "machine": list(machine_facts(run.machine)), "notes": []}
    kinds = [kind_of(row) for row in results.models]
    if results.targets is not None:
        kinds.insert(int(results.linear is not None), TEACHER)  # as in the table
    latency = latency_chart(results)
    hidden = far_below(results) if latency else []
    return {
        **described(results),
        "facts": headline(results),
        "ledger": ledger_table(results),
        "ledger_conditions": list(ledger_conditions(results)),
        "conditions": conditions(results),
        "kinds": kinds,
        "legend": [(kind, text) for kind, text in _LEGEND.items() if kind in kinds],
        "latency_chart": latency,
        "left_out": [
            f"{row.name} ({numbers.score(row.score)})"
            for row in results.models
            if row.name in hidden
        ],
        "size_chart": size_chart(results),
        "machine": list(machine_facts(results.machine)),
    }


def headline(results: Results) -> list[dict[str, str]]:
    """The four numbers on top: what the final model keeps and what it gains."""
    final, one, teacher = results.final, results.one, results.teacher_score
    cell = latency_cell(set(one.latency_ms) & set(final.latency_ms))
    many = throughput_cell(set(one.throughput) & set(final.throughput))
    speed = "not measured"
    if cell is not None and many is not None:
        old, new = one.latency_ms[cell].p50, final.latency_ms[cell].p50
        speed = f"{numbers.milliseconds(old)} to {numbers.milliseconds(new)} ms"
    sizes = f"{numbers.megabytes(one.bytes)} to {numbers.megabytes(final.bytes)} MB"
    baseline = results.baseline
    than = "" if one.name == TEACHER else f", against {one_named(results)}"
    known = {"teacher": teacher, "baseline": baseline.score if baseline is not None else None}
    versus = ", ".join(
        f"{name} {numbers.score(score)}" for name, score in known.items() if score is not None
    )
    ratios = final.ratios
    below = baseline is not None and final.name != TEACHER and final.score < baseline.score
    kept = "of the teacher's score" if teacher is not None else "no teacher's score"
    metric = results.metric[0].upper() + results.metric[1:]
    return [
        fact("Score kept", numbers.percent(final.retention), kept),
        fact("Smaller", numbers.times(ratios.size), sizes + than, poor=ratios.size <= 1),
        fact(
            "Faster", numbers.times(ratios.latency), speed + than, poor=(ratios.latency or 0) <= 1
        ),
        fact(metric, numbers.score(final.score), versus, poor=below),
    ]


def machine_facts(machine: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The machine's facts as pairs of words, nested ones on one line."""
    titles = {"cpu": "processor", "isa": "instruction sets", "memory_gb": "memory, GiB"}
    for key, value in machine.items():
        if key == "fewer_calls" or value in (None, "", [], {}):
            continue  # in the notes
        if isinstance(value, Mapping):
            text = ", ".join(f"{name} {entry}" for name, entry in value.items())
        elif isinstance(value, list):
            text = ", ".join(str(entry) for entry in value)
        else:
            text = str(value)
        yield titles.get(key, key.replace("_", " ")), text
