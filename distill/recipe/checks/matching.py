"""Faults of layer maps and of what is matched layer by layer."""

from __future__ import annotations

from distill.recipe.checks.findings import Findings
from distill.recipe.known import TeacherShape
from distill.recipe.schema import DistillStage, PruneStage, Recipe, Stage
from distill.recipe.sizes import Size
from distill.recipe.yaml_lines import Loc


def explicit_student_layers(recipe: Recipe, size: Size) -> Findings:
    """Faults of explicit layer maps that can be told without the teacher."""
    for index, stage in enumerate(recipe.stages):
        if not isinstance(stage, DistillStage) or isinstance(stage.layer_map, str):
            continue
        seen: set[int] = set()
        for pair, (student, _) in enumerate(stage.layer_map):
            loc: Loc = ("stages", index, "layer_map", pair)
            if student > size.layers:
                yield loc, f"there is no student layer {student}; they are 1 to {size.layers}"
            elif student in seen:
                yield loc, f"student layer {student} stands in the map twice; keep one"
            seen.add(student)


def matching(recipe: Recipe, size: Size, teacher: TeacherShape) -> Findings:
    """Layer maps and head counts that cannot be."""
    heads_pruned = False
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, DistillStage):
            yield from _layer_map(stage, index, size, teacher)
            yield from _heads(stage, index, size, teacher, heads_pruned=heads_pruned)
        heads_pruned |= isinstance(stage, PruneStage) and stage.heads > 0


def _matches_layers(stage: Stage) -> bool:
    return isinstance(stage, DistillStage) and any(
        objective.kind in ("attention", "hidden") for objective in stage.objectives
    )


def _layer_map(stage: DistillStage, index: int, size: Size, teacher: TeacherShape) -> Findings:
    loc: Loc = ("stages", index, "layer_map")
    depth, deep = size.layers, teacher.layers
    if isinstance(stage.layer_map, list):
        for pair, (_, layer) in enumerate(stage.layer_map):
            if layer > deep:
                yield (*loc, pair), f"there is no teacher layer {layer}; they are 1 to {deep}"
    elif not _matches_layers(stage):
        return
    elif depth > deep:
        yield (
            loc,
            f"the student has {depth} layers and the teacher only {deep}; give pairs "
            "[student, teacher], or a shallower student",
        )
    elif stage.layer_map == "uniform" and deep % depth:
        works = [str(layers) for layers in range(1, deep + 1) if deep % layers == 0]
        yield (
            loc,
            f"uniform needs the teacher's depth ({deep}) to be a multiple of the student's "
            f"({depth}); depths that work: {', '.join(works)}; or take first, last, skip or pairs",
        )


def _heads(
    stage: DistillStage, index: int, size: Size, teacher: TeacherShape, *, heads_pruned: bool
) -> Findings:
    kinds = [objective.kind for objective in stage.objectives]
    if "attention" not in kinds:
        return
    loc: Loc = ("stages", index, "objectives", kinds.index("attention"))
    if heads_pruned:
        yield loc, "attention is matched head by head, and heads were pruned before; leave it out"
    elif size.heads != teacher.heads:
        width = max(1, round(size.hidden / teacher.heads)) * teacher.heads
        fits = f"{size.layers}x{width}/{teacher.heads}"
        yield (
            loc,
            f"attention is matched head by head: the student has {size.heads} heads and the "
            f"teacher {teacher.heads}; write student.size: {fits}, or leave it out",
        )
