"""What a recipe will do and what its models weigh: stages, layer maps, parameters, MACs."""

from __future__ import annotations

from typing import Any

from distill.capture.layer_map import LayerMap, candidates, make_layer_map
from distill.recipe.checks import student_size
from distill.recipe.describe import describe
from distill.recipe.model_shapes import teacher_shape
from distill.recipe.plan import PlannedStage, plan_stages
from distill.recipe.schema import DistillStage, LayerSearch, PruneStage, Recipe, TeacherModel
from distill.recipe.shapes import EXAMPLE_LENGTH, Shape, shapes_by_stage


def make_plan(recipe: Recipe) -> dict[str, Any]:
    """The plan as plain values, from the recipe alone: nothing heavy is imported or loaded.

    Maps and models are missing where the teacher's shape is known only after its download.
    """
    stages = plan_stages(recipe)
    size, known = student_size(recipe), teacher_shape(recipe.teacher.model)
    content: dict[str, Any] = {
        "recipe": recipe.name,
        "description": recipe.description,
        "seeds": recipe.seeds,
        "teacher": recipe.teacher.model,
        "student": size.name,
        "stages": [_stage(stage) for stage in stages],
        "layer_maps": [],
        "models": [],
    }
    if known is None:
        return content
    teacher = Shape.of_teacher(known, len(recipe.task.labels or "??"))
    students = shapes_by_stage(stages, teacher, size)
    content["layer_maps"] = [
        layer_map
        for stage, student in zip(stages, students, strict=True)
        if isinstance(stage.config, DistillStage) and _inside(stage.config)
        for layer_map in _layer_maps(stage.config, student.layers, known.layers)
    ]
    content["models"] = _models(stages, teacher, students)
    return content


def _stage(stage: PlannedStage) -> dict[str, Any]:
    return {
        "index": stage.index,
        "name": stage.name,
        "kind": stage.kind,
        "folder": stage.folder,
        "what": describe(stage),
    }


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
