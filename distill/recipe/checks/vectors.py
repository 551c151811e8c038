"""Faults of recipes for sentence vectors, and of their objectives elsewhere."""

from __future__ import annotations

from distill.errors import ModelError
from distill.recipe.checks.findings import Findings
from distill.recipe.schema import AugmentStage, DistillStage, PruneStage, Recipe, VectorsTask
from distill.recipe.sizes import resolve_size
from distill.recipe.yaml_lines import Loc

#: Objectives that compare sentence vectors.
OWN = ("similarity", "vector")
#: Objectives that compare distributions over labels.
_OF_LABELS = ("logits", "decoupled", "standardized")


def vectors(recipe: Recipe) -> Findings:
    """What a recipe for vectors lacks or has no use for, and what only such a recipe can have."""
    task = recipe.task
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, DistillStage):
            yield from _objectives(recipe, stage, index)
    if not isinstance(task, VectorsTask):
        return
    if recipe.data.columns.text_pair is None:
        yield (
            ("data", "columns", "text_pair"),
            "missing; vectors are scored on pairs of texts: name the second text's column "
            "(training rows may lack it)",
        )
    if recipe.teacher.more:
        said = "vectors of several teachers point in unlike directions and have no average"
        yield ("teacher", "more"), f"{said}; leave them out"
    if recipe.teacher.labels is not None:
        yield ("teacher", "labels"), "vectors have no labels; leave it out"
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, AugmentStage):
            yield (
                ("stages", index, "kind"),
                "'augment' makes rows for labels; vectors learn from any texts: add some to "
                "data.train",
            )
    yield from _whitening(recipe, task)


def _objectives(recipe: Recipe, stage: DistillStage, index: int) -> Findings:
    for number, objective in enumerate(stage.objectives):
        loc: Loc = ("stages", index, "objectives", number, "kind")
        if isinstance(recipe.task, VectorsTask):
            if objective.kind in _OF_LABELS:
                said = f"{objective.kind} compares labels, which vectors have not"
                yield loc, f"{said}; take similarity, or vector where the widths agree"
        elif objective.kind in OWN:
            yield (
                loc,
                f"{objective.kind} compares sentence vectors, which a {recipe.task.kind} task "
                "has not; it is for task.kind: vectors",
            )


def _whitening(recipe: Recipe, task: VectorsTask) -> Findings:
    if task.whitening is None:
        return
    try:
        width = resolve_size(recipe.student.size).hidden
    except ModelError:
        return  # told elsewhere
    for stage in recipe.stages:
        if isinstance(stage, PruneStage):
            width = stage.width_left(width)
    if task.whitening > width:
        yield (
            ("task", "whitening"),
            f"{task.whitening} dimensions of vectors that have {width}; write {width} or fewer",
        )
    if not any(stage.kind == "export" for stage in recipe.stages):
        yield ("task", "whitening"), "the bundle holds it; add {kind: export}, or leave it out"
