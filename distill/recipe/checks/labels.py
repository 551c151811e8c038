"""Faults of how labels are learned: weights and smoothing."""

from __future__ import annotations

from collections.abc import Mapping

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import DistillStage, LogitsObjective, Recipe


def labels_loss(recipe: Recipe) -> Findings:
    """Weights of labels that are not there, and settings that no training of the recipe reads."""
    labels = recipe.task.labels
    for key, value in recipe.task.label_settings().items():
        if isinstance(value, Mapping) and labels is not None:
            for name in sorted(set(value) - set(labels)):
                yield ("task", key, name), f"no label; labels are {', '.join(labels)}"
        if not learns_labels(recipe):
            yield (
                ("task", key),
                "does nothing: no teacher is fine-tuned, there is no baseline, and no logits "
                "objective has a hard_weight; leave it out",
            )


def learns_labels(recipe: Recipe) -> bool:
    """Whether any training of the recipe looks at the true labels."""
    return (
        recipe.baseline is not False
        or any(teacher.finetune is not None for teacher in recipe.teacher.all)
        or any(
            isinstance(objective, LogitsObjective) and objective.hard_weight > 0
            for stage in recipe.stages
            if isinstance(stage, DistillStage)
            for objective in stage.objectives
        )
    )
