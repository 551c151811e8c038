"""What a recipe will do and what its models weigh: stages, layer maps, parameters, MACs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distill.capture.layer_map import LayerMap, candidates, make_layer_map
from distill.recipe.checks import student_size
from distill.recipe.model_shapes import TeacherShape, teacher_shape
from distill.recipe.plan import PlannedStage, plan_stages
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
from distill.recipe.shapes import EXAMPLE_LENGTH, Shape, StaticShape, shapes_by_stage


def make_plan(recipe: Recipe) -> dict[str, Any]:
    """The plan as plain values, from the recipe alone: nothing heavy is imported or loaded.

    Maps and models are missing where the teacher's shape is known only after its download.
    """
    stages = plan_stages(recipe)
    known = teacher_shape(recipe.source.model)
    content: dict[str, Any] = {
        "recipe": recipe.name,
        "description": recipe.description,
        "seeds": recipe.seeds,
        "teacher": recipe.teacher.model or recipe.teacher.files["train"],
        "student": recipe.student.words,
        "stages": [_stage(stage) for stage in stages],
        "layer_maps": [],
        "models": [],
        "notes": [],
    }
    if known is None:
        return content
    teacher = Shape.of_teacher(known, len(recipe.task.labels or "??"))
    students = shapes_by_stage(stages, teacher, recipe)
    content["layer_maps"] = [
        layer_map
        for stage, student in zip(stages, students, strict=True)
        if isinstance(stage.config, DistillStage) and _inside(stage.config)
        for layer_map in _layer_maps(stage.config, student.layers, known.layers)
    ]
    content["models"] = _models(stages, teacher, students)
    content["notes"] = _notes(recipe, known)
    return content


def _notes(recipe: Recipe, teacher: TeacherShape) -> list[str]:
    """What is possible and seldom wanted."""
    if recipe.student.init != "teacher-layers" or not teacher.gives_layers:
        return []
    size = student_size(recipe)
    if size is None or 2 * size.hidden > teacher.hidden:
        return []
    return [
        f"student: it keeps {size.hidden} of the teacher's {teacher.hidden} dimensions, with which "
        "copied layers do little; name a pretrained model of its size in student.init, or train "
        "it on much text first (recipe general)"
    ]


def _stage(stage: PlannedStage) -> dict[str, Any]:
    return {
        "index": stage.index,
        "name": stage.name,
        "kind": stage.kind,
        "folder": stage.folder,
        "what": describe(stage),
    }


def _models(
    stages: list[PlannedStage], teacher: Shape, students: Sequence[Shape | StaticShape]
) -> list[dict[str, Any]]:
    first = stages[0].config
    rows = [_model("teacher", teacher)] if isinstance(first, TeacherModel) else []
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
        if len(rows) == teachers or {**model, "name": ""} != {**rows[-1], "name": ""}:
            rows.append(model)
    return rows


def _model(name: str, shape: Shape | StaticShape) -> dict[str, Any]:
    return {
        "name": name,
        "layers": shape.layers,
        "hidden": shape.hidden,
        "heads": shape.heads,
        "ffn": shape.ffn,
        "parameters": shape.parameters,
        "parameters_no_embeddings": shape.parameters - shape.embedding_parameters,
        f"macs_l{EXAMPLE_LENGTH}": round(shape.macs(EXAMPLE_LENGTH)),
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
        maps = [(f"search, candidate {name}", one) for name, one in found.items()]
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


def describe(stage: PlannedStage) -> str:
    """What the stage does and with which settings, such as ``match hidden: 3 epochs, ...``."""
    match stage.config:
        case TeacherModel(finetune=None):
            return f"{stage.config.model} as it is"
        case TeacherModel():
            return f"fine-tune {stage.config.model}: {_training(stage.config.finetune)}"
        case BaselineConfig():
            return f"the student on labels only: {_training(stage.config)}"
        case AugmentStage():
            return (
                f"up to {stage.config.copies} more of each example: {stage.config.replace:.0%} "
                "of the words replaced"
            )
        case DistillStage():
            kinds = ", ".join(objective.kind for objective in stage.config.objectives)
            return f"{_search(stage.config)}match {kinds}: {_training(stage.config)}"
        case PretrainStage():
            nsp = ", sentence pairs" if stage.config.nsp else ""
            words = "words" if stage.config.whole_words else "tokens"
            return f"masked {words} ({stage.config.mask:.0%}){nsp}: {_training(stage.config)}"
        case PruneStage(recovery=recovery):
            after = f"; recover: {_training(recovery)}" if recovery else ""
            return f"{stage.config.describe()}{after}"
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


def _training(config: TrainConfig | None) -> str:
    if config is None:
        return ""
    if config.max_steps is not None:
        epochs = f"{config.max_steps:,} steps"
    else:
        epochs = "1 epoch" if config.epochs == 1 else f"{config.epochs} epochs"
    falling = f" (x {config.layer_decay:g} a layer)" if config.layer_decay < 1 else ""
    batch = config.batch_size * config.accumulate_grad_batches
    return f"{epochs}, lr {config.lr:g}{falling}, batch {batch}"
