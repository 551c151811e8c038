"""Faults of recipes for sentence vectors, and of their objectives elsewhere."""

from __future__ import annotations

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import DistillStage, Recipe

#: Objectives that compare sentence vectors.
OWN = ("similarity", "vector")


def vectors(recipe: Recipe) -> Findings:
    """Objectives of sentence vectors in a recipe without any."""
    for index, stage in enumerate(recipe.stages):
        if not isinstance(stage, DistillStage):
            continue
        for number, objective in enumerate(stage.objectives):
            if objective.kind in OWN:
                yield (
                    ("stages", index, "objectives", number, "kind"),
                    f"{objective.kind} compares sentence vectors, which a {recipe.task.kind} task "
                    "has not; it is for task.kind: vectors",
                )
