"""What augmentation adds to a run: rows that later stages train on, and time of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from distill.recipe.estimate import Shape, stage_macs
from distill.recipe.known import has_masked_head
from distill.recipe.plan import PlannedStage
from distill.recipe.rows import Rows
from distill.recipe.schema import AugmentStage, DistillStage, PruneStage, Recipe

#: Share of the tries that give a row of its own: published for CoLA (8,551 to 209,034 at 30).
_YIELD = 0.78
#: Share of a text's tokens that are words the model is asked for: of one piece, no stop words.
_ASKED = 0.4


def rows_by_stage(stages: Sequence[PlannedStage], rows: Rows) -> list[Rows]:
    """The rows that each stage trains on: after an augment stage there are more.

    Args:
        stages: all stages of the run.
        rows: the original training rows.
    """
    found, more = [], rows
    for stage in stages:
        config = stage.config
        if isinstance(config, AugmentStage):
            more = replace(rows, count=rows.count + round(_YIELD * config.copies * rows.count))
        learns = isinstance(config, DistillStage | PruneStage) and config.augmented
        found.append(more if learns else rows)
    return found


def work_by_stage(
    recipe: Recipe,
    stages: Sequence[PlannedStage],
    rows: Rows,
    *,
    teacher: Shape,
    students: Sequence[Shape],
) -> list[float]:
    """Multiply-accumulates of every stage, augmented rows included.

    Args:
        recipe: the recipe.
        stages: its stages.
        rows: the original training rows.
        teacher: the teacher's shape.
        students: the student's shape at the end of every stage.
    """
    return [
        augment_macs(recipe, stage.config, rows, teacher)
        if isinstance(stage.config, AugmentStage)
        else stage_macs(stage, count, teacher, student)
        for stage, count, student in zip(stages, rows_by_stage(stages, rows), students, strict=True)
    ]


def augment_macs(recipe: Recipe, config: AugmentStage, rows: Rows, teacher: Shape) -> float:
    """Multiply-accumulates of asking the masked-language model for every word.

    A model that the stage names is taken to be of the teacher's shape. Word vectors cost nothing
    that counts.
    """
    model = config.model or recipe.teacher.model
    asks = config.words == "mlm" or (config.words == "auto" and has_masked_head(model) is not False)
    if not asks:
        return 0.0
    length = rows.tokens * (2 if config.segment == "original" else 1)
    return rows.count * _ASKED * rows.tokens * teacher.macs(length)
