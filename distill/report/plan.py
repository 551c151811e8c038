"""A run's plan on the console: stages, layer maps as two columns, sizes; times where measured."""

from __future__ import annotations

from typing import Any

from distill.recipe.shapes import EXAMPLE_LENGTH
from distill.report.numbers import align
from distill.report.table import Table
from distill.system.console import clock


def plan_lines(content: dict[str, Any]) -> list[str]:
    """The plan as lines of text.

    Args:
        content: from :func:`distill.pipeline.plan.make_plan`; with ``measured``, times too.
    """
    title = f"{content['recipe']}: {content['description']}".removesuffix(": ")
    lines = [title, "", *_stages(content)]
    for layer_map in content["layer_maps"]:
        lines += ["", *_map(layer_map)]
    if content["models"]:
        lines += ["", *_models(content["models"])]
    else:
        lines += [
            "",
            f"the shape of {content['teacher']} is known once it is downloaded: no layer map and "
            "no sizes yet",
        ]
    notes = list(content["notes"])
    if "measured" in content:
        notes += _time(content["measured"])
    if seeds := content["seeds"]:
        each = "; the time is one seed's" if "measured" in content else ""
        notes.append(f"seeds: all of it is done once for each of {_joined(seeds)}{each}")
    return [*lines, "", *notes] if notes else lines


def _joined(values: list[Any]) -> str:
    return ", ".join(map(str, values))


def _stages(content: dict[str, Any]) -> list[str]:
    times = content.get("measured", {}).get("stages", {})
    rows = [["stage", "kind", *(["time"] if times else []), "what"]]
    for stage in content["stages"]:
        seconds = times.get(stage["name"], {}).get("seconds")
        time = [clock(seconds) if seconds is not None else ""] if times else []
        rows.append([stage["folder"], stage["kind"], *time, stage["what"]])
    return align(rows, words=len(rows[0]))


def _time(measured: dict[str, Any]) -> list[str]:
    stages = measured["stages"].values()
    steps = sum(stage["steps"] for stage in stages)
    return [
        f"training: {clock(sum(stage['seconds'] for stage in stages))} for {steps:,} steps on "
        f"{measured['rows']:,} rows, measured on {measured['measured_steps']} steps of each stage "
        f"here ({measured['machine']})",
        "not in it: preparing data, the teacher's logits, choosing what is pruned, int8, export, "
        "evaluation",
    ]


def _map(layer_map: dict[str, Any]) -> list[str]:
    learners: dict[int, list[str]] = {}
    for student, teacher in layer_map["pairs"]:
        learners.setdefault(teacher, []).append(str(student))
    lines = [
        f"layer map of {layer_map['stage']} ({layer_map['kind']}; "
        f"matches {', '.join(layer_map['signals'])})",
        f"  {'teacher':<12}{'':<10}student",
    ]
    for teacher in range(layer_map["teacher_layers"] if learners else 0, 0, -1):
        taught = learners.get(teacher)
        arrow = f"{'─' * 8}> layer {', '.join(taught)}" if taught else ""
        lines.append(f"  {f'layer {teacher}':<12}{arrow}".rstrip())
    if "embedding" in layer_map["signals"]:
        lines.append(f"  {'embedding':<12}{'─' * 8}> embedding")
    matched = {student for student, _ in layer_map["pairs"]}
    alone = [str(i) for i in range(1, layer_map["student_layers"] + 1) if i not in matched]
    if alone and learners:
        lines.append(f"  not matched: student layer {', '.join(alone)}")
    return lines


def _models(models: list[dict[str, Any]]) -> list[str]:
    rows = [
        {
            "model": model["name"],
            "shape": f"{model['layers']}x{model['hidden']}",
            "heads": str(model["heads"]),
            "ffn": str(model["ffn"]),
            "parameters": f"{model['parameters'] / 1e6:.2f} M",
            "non-embedding": f"{model['parameters_no_embeddings'] / 1e6:.2f} M",
            f"MACs(L={EXAMPLE_LENGTH})": f"{model[f'macs_l{EXAMPLE_LENGTH}'] / 1e6:.0f} M",
            "fp32": f"{model['bytes_fp32'] / 1e6:.1f} MB",
        }
        for model in models
    ]
    return Table.of(rows, len(rows[0])).lines()
