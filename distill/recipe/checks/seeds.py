"""Faults of recipes that are done once for each of several seeds."""

from __future__ import annotations

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import EvaluateStage, Recipe, TextTask


def several_seeds(recipe: Recipe) -> Findings:
    """``seeds`` stand in the place of ``seed``, differ, and have a score to be compared by."""
    if recipe.seeds is None:
        return
    if "seed" in recipe.model_fields_set:
        yield ("seed",), "given beside 'seeds'; leave one of them out"
    for index, seed in enumerate(recipe.seeds):
        if seed in recipe.seeds[:index]:
            yield ("seeds", index), f"{seed} stands here twice; every seed is done once"
    if isinstance(recipe.task, TextTask):
        yield ("seeds",), "several seeds compare scores, and unlabelled text has none; write 'seed'"
    elif not any(isinstance(stage, EvaluateStage) for stage in recipe.stages):
        message = "several seeds are compared by what the evaluation measures; add {kind: evaluate}"
        yield ("seeds",), message
