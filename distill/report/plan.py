"""A run's plan on the console: stages, layer maps as two columns, sizes, time and disk."""

from __future__ import annotations

from typing import Any

from distill.console import clock
from distill.recipe.estimate import TOLD_LENGTH
from distill.report.columns import align


def plan_lines(content: dict[str, Any]) -> list[str]:
    """The plan as lines of text.

    Args:
        content: from :func:`distill.pipeline.plan.make_plan`.
    """
    title = f"{content['recipe']}: {content['description']}".removesuffix(": ")
    lines = [title, "", *_stages(content["stages"])]
    for layer_map in content["layer_maps"]:
        lines += ["", *_map(layer_map)]
    if content["models"]:
        lines += ["", *_models(content["models"])]
    else:
        lines += [
            "",
            f"the shape of {content['teacher']} is known once it is downloaded: no layer map, "
            "sizes or times yet",
        ]
    return [*lines, "", *_cost(content)]


def _stages(stages: list[dict[str, Any]]) -> list[str]:
    rows = [["stage", "kind", "time", "what"]]
    for stage in stages:
        seconds = stage["seconds"]
        time = f"~{clock(seconds)}" if seconds else ""
        rows.append([stage["folder"], stage["kind"], time, stage["what"]])
    return align(rows, words=len(rows[0]))


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
    title = f"model shape heads ffn parameters non-embedding MACs(L={TOLD_LENGTH}) fp32"
    rows = [title.split()]
    rows += [
        [
            model["name"],
            f"{model['layers']}x{model['hidden']}",
            str(model["heads"]),
            str(model["ffn"]),
            f"{model['parameters'] / 1e6:.2f} M",
            f"{model['parameters_no_embeddings'] / 1e6:.2f} M",
            f"{model[f'macs_l{TOLD_LENGTH}'] / 1e6:.0f} M",
            f"{model['bytes_fp32'] / 1e6:.1f} MB",
        ]
        for model in models
    ]
    return align(rows, words=len(rows[0]))


def _cost(content: dict[str, Any]) -> list[str]:
    lines = []
    if content["seconds"] is not None:
        lines.append(
            f"time: about {clock(content['seconds'])} of training (estimate: {content['rows']:,} "
            f"rows on {content['cores']} CPU cores at {content['macs_per_second'] / 1e9:.0f} "
            "GMACs/s)"
        )
    else:
        lines.append("time: not known before the data and the teacher are")
    if content["bytes"] is not None:
        lines.append(f"disk: at most about {content['bytes'] / 1e9:.1f} GB in the run folder")
    if seeds := content.get("seeds"):
        lines.append(
            f"seeds: all of it is done once for each of {', '.join(map(str, seeds))}; times and "
            f"disk are those of all {len(seeds)} together"
        )
    return lines
