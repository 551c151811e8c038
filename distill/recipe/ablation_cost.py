"""Which stages the cells of an ablation share."""

from __future__ import annotations

import hashlib
import json

from distill.recipe.ablation import Cell


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
