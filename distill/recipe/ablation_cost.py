"""How long an ablation's cells will take, told from their recipes; nothing is loaded.

A stage that an earlier cell has done from the same settings costs nothing: it is taken over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from distill.recipe.ablation import Cell
from distill.recipe.augmented import work_by_stage
from distill.recipe.checks import student_size
from distill.recipe.estimate import (
    Shape,
    shapes_by_stage,
)
from distill.recipe.known import teacher_shape
from distill.recipe.plan import PlannedStage
from distill.recipe.rows import Rows, count_rows
from distill.recipe.schema import Recipe
from distill.recipe.speed import macs_per_second


def estimate_cells(cells: Sequence[Cell], *, threads: int | None = None) -> list[float | None]:
    """Seconds of training of each cell, done in this order; ``None`` where they cannot be told.

    Args:
        cells: the cells.
        threads: CPU threads of each; left out, the recipe's, and else all cores.
    """
    counted: dict[str, Rows | None] = {}
    seen: set[str] = set()
    found: list[float | None] = []
    for cell in cells:
        recipe = cell.recipe
        key = recipe.data.model_dump_json() + recipe.task.kind
        if key not in counted:
            counted[key] = count_rows(recipe.data, recipe.task)
        stages, keys = cell.planned(), stage_keys(cell)
        new = [stage for stage, key in zip(stages, keys, strict=True) if key not in seen]
        seen.update(keys)
        work = _work(cell.recipe, stages, new, counted[key])
        speed = macs_per_second(cell.recipe.trainer, threads=threads)
        found.append(None if work is None else work / speed)
    return found


def stage_keys(cell: Cell) -> list[str]:
    """One key for each stage of a cell: two that are equal are done from the same settings."""
    recipe, keys = cell.recipe, []
    before: list[str] = []
    for stage in cell.planned():
        content = {
            "config": stage.config.model_dump(mode="json"),
            "name": stage.name,
            "index": stage.index,
            "seed": recipe.seed,
            "task": recipe.task.model_dump(mode="json"),
            "data": recipe.data.model_dump(mode="json"),
            "student": recipe.student.model_dump(mode="json") if stage.kind != "teacher" else None,
            "teacher": recipe.teacher.model_dump(mode="json"),
            "trainer": recipe.trainer.model_dump(mode="json"),
            "before": [] if stage.kind in ("baseline", "teacher") else list(before),
        }
        keys.append(hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest())
        if stage.kind != "baseline":
            before.append(keys[-1])
    return keys


def _work(
    recipe: Recipe, stages: list[PlannedStage], new: list[PlannedStage], rows: Rows | None
) -> float | None:
    found = teacher_shape(recipe.teacher.model)
    if found is None or rows is None:
        return None
    teacher = Shape.of_teacher(found, len(recipe.task.labels or "??"))
    shapes = shapes_by_stage(recipe, stages, teacher, student_size(recipe))
    costs = work_by_stage(recipe, stages, rows, teacher=teacher, students=shapes)
    return sum(cost for stage, cost in zip(stages, costs, strict=True) if stage in new)
