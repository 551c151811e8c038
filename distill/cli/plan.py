"""``distill plan``: what a run would do and cost, without doing it."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any

import typer

from distill.console import clock
from distill.matching.layer_map import LayerMap, candidates, make_layer_map
from distill.recipe.augmented import work_by_stage
from distill.recipe.checks import student_size
from distill.recipe.estimate import (
    Shape,
    cores,
    shapes_by_stage,
    stage_bytes,
)
from distill.recipe.known import teacher_shape
from distill.recipe.loader import load_recipe
from distill.recipe.plan import PlannedStage, plan_stages
from distill.recipe.rows import count_rows
from distill.recipe.schema import (
    AugmentStage,
    BaselineConfig,
    DistillStage,
    EvaluateStage,
    ExportStage,
    LayerSearch,
    PretrainStage,
    PruneStage,
    QuantizeStage,
    Recipe,
    TeacherModel,
    TrainConfig,
)
from distill.recipe.speed import macs_per_second

_LENGTH = 32


def plan(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name (see `distill ls`) or a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings such as student.size=3x384.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Tell a run's stages, layer map, sizes, and about how long and how large it will be.

    Nothing is trained, loaded or written. Times are estimates from multiply-accumulates.

    Example:
      distill plan quickstart
      distill plan sst2 teacher.model=minilm-l6 student.size=3x384
    """
    loaded = load_recipe(recipe, *(overrides or []))
    content = make_plan(loaded)
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    for line in draw(content):
        typer.echo(line)
    typer.echo(f"next: {shlex.join(['distill', 'run', recipe, *(overrides or [])])}")


def make_plan(recipe: Recipe) -> dict[str, Any]:
    """The plan as plain values; numbers that cannot be told yet are ``None``."""
    stages = plan_stages(recipe)
    found, size = teacher_shape(recipe.teacher.model), student_size(recipe)
    rows = count_rows(recipe.data)
    content: dict[str, Any] = {
        "recipe": recipe.name,
        "description": recipe.description,
        "teacher": recipe.teacher.model,
        "student": size.name,
        "rows": rows.count if rows else None,
        "stages": [
            {
                "index": stage.index,
                "name": stage.name,
                "kind": stage.kind,
                "folder": stage.folder,
                "what": _what(stage),
                "seconds": None,
            }
            for stage in stages
        ],
        "layer_maps": [],
        "models": [],
        "seconds": None,
        "bytes": None,
        "cores": recipe.trainer.threads or cores(),
        "macs_per_second": None,
    }
    if found is None:
        return content if recipe.seeds is None else _times_seeds(content, recipe.seeds)
    teacher = Shape.of_teacher(found, len(recipe.task.labels or "??"))
    students = shapes_by_stage(recipe, stages, teacher, size)
    content["layer_maps"] = [
        layer_map
        for stage, student in zip(stages, students, strict=True)
        if isinstance(stage.config, DistillStage) and _inside(stage.config)
        for layer_map in _layer_maps(stage.config, student.layers, found.layers)
    ]
    content["models"] = _models(stages, teacher, students)
    content["bytes"] = sum(
        stage_bytes(stage, teacher, student)
        for stage, student in zip(stages, students, strict=True)
    )
    if rows is not None:
        costs = work_by_stage(recipe, stages, rows, teacher=teacher, students=students)
        _add_times(content, costs, macs_per_second(recipe.trainer))
    return content if recipe.seeds is None else _times_seeds(content, recipe.seeds)


def _times_seeds(content: dict[str, Any], seeds: list[int]) -> dict[str, Any]:
    """Times and bytes of all seeds together."""

    def all_of(value: Any) -> Any:
        return None if value is None else round(value * len(seeds), 1)

    return content | {
        "seeds": seeds,
        "stages": [told | {"seconds": all_of(told["seconds"])} for told in content["stages"]],
        "seconds": all_of(content["seconds"]),
        "bytes": all_of(content["bytes"]),
    }


def _add_times(content: dict[str, Any], costs: list[float], speed: float) -> None:
    content["macs_per_second"] = speed
    for told, work in zip(content["stages"], costs, strict=True):
        told["seconds"] = round(work / speed, 1)
    content["seconds"] = round(sum(stage["seconds"] for stage in content["stages"]), 1)


def _models(
    stages: list[PlannedStage], teacher: Shape, students: list[Shape]
) -> list[dict[str, Any]]:
    rows = [_model("teacher", teacher)]
    for stage in stages[1:]:
        if isinstance(stage.config, TeacherModel) and (own := teacher_shape(stage.config.model)):
            rows.append(_model(stage.name, Shape.of_teacher(own, teacher.labels)))
    teachers = len(rows)
    named = [
        (stage.name if isinstance(stage.config, PruneStage) else "student", shape)
        for stage, shape in zip(stages, students, strict=True)
        if isinstance(stage.config, DistillStage | PruneStage)
    ]
    for name, shape in named:
        model = _model(name, shape)
        if {**model, "name": ""} != {**rows[-1], "name": ""} or len(rows) == teachers:
            rows.append(model)
    return rows


def _model(name: str, shape: Shape) -> dict[str, Any]:
    return {
        "name": name,
        "layers": shape.layers,
        "hidden": shape.hidden,
        "heads": shape.heads,
        "ffn": shape.ffn,
        "parameters": shape.parameters,
        "parameters_no_embeddings": shape.parameters - shape.embedding_parameters,
        f"macs_l{_LENGTH}": round(shape.macs(_LENGTH)),
        "bytes_fp32": shape.bytes_fp32,
    }


def _inside(config: DistillStage) -> list[str]:
    """The objectives that look inside the models, not at what they predict alone."""
    return [each.kind for each in config.objectives if each.signals - {"logits", "mlm"}]


def _layer_maps(config: DistillStage, student: int, teacher: int) -> list[dict[str, Any]]:
    """The stage's layer map; of a search every candidate's."""
    maps: list[tuple[str, LayerMap]]
    if not any(objective.mapped for objective in config.objectives):
        maps = [("pairs" if isinstance(config.layer_map, list) else config.layer_map, LayerMap(()))]
    elif config.layer_map == "search":
        search = config.search or LayerSearch()
        found = candidates(search.candidates, student, teacher)
        maps = [(f"search, candidate {one.name}", one.layer_map) for one in found]
    else:
        kind = config.layer_map if isinstance(config.layer_map, str) else "pairs"
        maps = [(kind, make_layer_map(config.layer_map, student, teacher))]
    return [
        {
            "stage": config.name,
            "signals": _inside(config),
            "kind": kind,
            "teacher_layers": teacher,
            "student_layers": student,
            "pairs": [list(pair) for pair in layer_map.pairs],
        }
        for kind, layer_map in maps
    ]


def _what(stage: PlannedStage) -> str:
    match stage.config:
        case TeacherModel(finetune=None):
            return f"{stage.config.model} as it is"
        case TeacherModel():
            return f"fine-tune {stage.config.model}: {_training(stage.config.finetune)}"
        case BaselineConfig():
            return f"the student on labels only: {_training(stage.config)}"
        case AugmentStage():
            return (
                f"up to {stage.config.copies} more of each row: {stage.config.replace:.0%} of the "
                "words replaced"
            )
        case DistillStage():
            kinds = ", ".join(objective.kind for objective in stage.config.objectives)
            return f"{_search(stage.config)}match {kinds}: {_training(stage.config)}"
        case PretrainStage():
            nsp = ", sentence pairs" if stage.config.nsp else ""
            words = "words" if stage.config.whole_words else "tokens"
            return f"masked {words} ({stage.config.mask:.0%}){nsp}: {_training(stage.config)}"
        case PruneStage(recover=recover):
            if stage.config.method == "vocabulary":
                recover = None
            after = f"; recover: {_training(recover)}" if recover else ""
            return f"{_removal(stage.config)}{after}"
        case QuantizeStage():
            return f"int8, {stage.config.method}; at most {stage.config.max_drop:g} of score lost"
        case ExportStage():
            return f"bundle: {', '.join(stage.config.formats)}"
        case EvaluateStage():
            batches = ", ".join(map(str, stage.config.batch_sizes))
            lengths = ", ".join(map(str, stage.config.lengths))
            return f"score and time every model: batch {batches}; length {lengths}"


def _search(config: DistillStage) -> str:
    if config.layer_map != "search":
        return ""
    search = config.search or LayerSearch()
    count = str(len(search.candidates)) if search.candidates else "all"
    return f"try {count} layer maps for 2x{search.steps} steps each; "


def _removal(config: PruneStage) -> str:
    if config.method == "vocabulary":
        return "keep the word pieces that the training texts need"
    if config.method == "depth":
        kept = f"keep layers {', '.join(map(str, config.keep))}" if config.keep else ""
        return kept or f"remove {config.layers} of the layers"
    rounds = f" in {config.rounds} rounds" if config.rounds > 1 else ""
    budget = config.budget
    if budget is None:
        heads, ffn = config.shares
        parts = {"heads": heads, "ffn": ffn, "the hidden width": config.hidden or 0.0}
        gone = ", ".join(f"{share:.0%} of {name}" for name, share in parts.items() if share)
        return f"{config.method}: remove {gone}{rounds}"
    if budget.latency_ms is not None:
        return f"{config.method}: until int8 takes {budget.latency_ms:g} ms{rounds}"
    what, part = ("MACs", budget.macs) if budget.macs else ("parameters", budget.parameters)
    return f"{config.method}: keep {part:.0%} of the encoder's {what}{rounds}"


def _training(config: TrainConfig | None) -> str:
    if config is None:
        return ""
    if config.steps is not None:
        epochs = f"{config.steps:,} steps"
    else:
        epochs = "1 epoch" if config.epochs == 1 else f"{config.epochs} epochs"
    falling = f" (x {config.layer_decay:g} a layer)" if config.layer_decay < 1 else ""
    return f"{epochs}, lr {config.lr:g}{falling}, batch {config.batch_size * config.accumulate}"


def draw(content: dict[str, Any]) -> list[str]:
    """The plan as lines of text."""
    title = f"{content['recipe']}: {content['description']}".removesuffix(": ")
    lines = [title, "", *_draw_stages(content["stages"])]
    for layer_map in content["layer_maps"]:
        lines += ["", *_draw_map(layer_map)]
    if content["models"]:
        lines += ["", *_draw_models(content["models"])]
    else:
        lines += [
            "",
            f"the shape of {content['teacher']} is known once it is downloaded: no layer map, "
            "sizes or times yet",
        ]
    return [*lines, "", *_draw_cost(content)]


def _draw_stages(stages: list[dict[str, Any]]) -> list[str]:
    rows = [["stage", "kind", "time", "what"]]
    for stage in stages:
        seconds = stage["seconds"]
        time = f"~{clock(seconds)}" if seconds else ""
        rows.append([stage["folder"], stage["kind"], time, stage["what"]])
    return _table(rows)


def _draw_map(layer_map: dict[str, Any]) -> list[str]:
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


def _draw_models(models: list[dict[str, Any]]) -> list[str]:
    title = f"model shape heads ffn parameters non-embedding MACs(L={_LENGTH}) fp32"
    rows = [title.split()]
    rows += [
        [
            model["name"],
            f"{model['layers']}x{model['hidden']}",
            str(model["heads"]),
            str(model["ffn"]),
            f"{model['parameters'] / 1e6:.2f} M",
            f"{model['parameters_no_embeddings'] / 1e6:.2f} M",
            f"{model[f'macs_l{_LENGTH}'] / 1e6:.0f} M",
            f"{model['bytes_fp32'] / 1e6:.1f} MB",
        ]
        for model in models
    ]
    return _table(rows)


def _draw_cost(content: dict[str, Any]) -> list[str]:
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


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
