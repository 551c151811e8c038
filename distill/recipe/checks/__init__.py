"""Rules that hold between the parts of a recipe, checked before anything heavy is imported.

What depends on the teacher's shape is checked where that shape is known without loading it.
"""

from __future__ import annotations

from collections.abc import Callable

from distill.errors import ModelError
from distill.recipe.checks.findings import Findings
from distill.recipe.checks.inputs import (
    columns,
    data_section,
    one_seed_or_several,
    teacher_labels,
)
from distill.recipe.checks.labels import labels_loss
from distill.recipe.checks.matching import (
    explicit_student_layers,
    layer_search,
    masked_text,
    matching,
    own_vocabulary,
    pruning,
    reference,
    tokens,
)
from distill.recipe.checks.order import RESERVED, augmentation, stage_names, stage_order
from distill.recipe.checks.quantisation import drops, quantisation
from distill.recipe.checks.shapes import INITS, initialisation, lengths
from distill.recipe.known import TeacherShape, teacher_shape
from distill.recipe.schema import Recipe
from distill.recipe.sizes import Size, resolve_size
from distill.recipe.yaml_lines import Loc

__all__ = ["INITS", "RESERVED", "Findings", "check", "student_size"]


def check(recipe: Recipe) -> list[tuple[Loc, str]]:
    """Every rule that the recipe breaks: where, and what to do.

    Args:
        recipe: one that satisfies the schema.
    """
    teacher = teacher_shape(recipe.teacher.model)
    size, findings = _size(recipe, teacher)
    rules: list[Callable[[Recipe], Findings]] = [
        one_seed_or_several,
        data_section,
        columns,
        labels_loss,
        teacher_labels,
        stage_names,
        stage_order,
        quantisation,
        drops,
        layer_search,
        reference,
        own_vocabulary,
        augmentation,
        masked_text,
        tokens,
    ]
    for rule in rules:
        findings.extend(rule(recipe))
    findings.extend(recipe.task.issues(recipe, None if size is None else size.hidden))
    findings.extend(pruning(recipe, size))
    if size is not None:
        findings.extend(explicit_student_layers(recipe, size))
    if teacher is not None:
        findings.extend(lengths(recipe, teacher))
        if size is not None:
            findings.extend(initialisation(recipe, size, teacher))
            findings.extend(matching(recipe, size, teacher))
    return findings


def student_size(recipe: Recipe) -> Size:
    """The student's shape, with the teacher's number of heads where that is known and fits.

    Raises:
        ModelError: the size is unknown.
    """
    teacher = teacher_shape(recipe.teacher.model)
    heads = (teacher.hidden, teacher.heads) if teacher else None
    return resolve_size(recipe.student.size, head_dim_of=heads)


def _size(
    recipe: Recipe, teacher: TeacherShape | None
) -> tuple[Size | None, list[tuple[Loc, str]]]:
    heads = (teacher.hidden, teacher.heads) if teacher else None
    try:
        return resolve_size(recipe.student.size, head_dim_of=heads), []
    except ModelError as error:
        return None, [(("student", "size"), str(error))]
