"""Rules that hold between the parts of a recipe, checked before anything heavy is imported.

What depends on the teacher's shape is checked where that shape is known without loading it.
"""

from __future__ import annotations

from collections.abc import Callable

from distill.recipe.checks.findings import Findings
from distill.recipe.checks.inputs import columns, data_section, teacher_labels
from distill.recipe.checks.labels import labels_loss
from distill.recipe.model_shapes import TeacherShape, teacher_shape
from distill.recipe.schema import Recipe
from distill.recipe.schema.before import Before
from distill.recipe.sizes import Size, resolve_size
from distill.recipe.yaml_lines import Loc
from distill.system.errors import ModelError

__all__ = ["Findings", "check", "student_size"]


def check(recipe: Recipe) -> list[tuple[Loc, str]]:
    """Every rule that the recipe breaks: where, and what to do.

    Args:
        recipe: one that satisfies the schema.
    """
    teacher = teacher_shape(recipe.teacher.model)
    size, findings = _size(recipe, teacher)
    rules: list[Callable[[Recipe], Findings]] = [
        Recipe.issues,
        data_section,
        columns,
        labels_loss,
        teacher_labels,
    ]
    for rule in rules:
        findings.extend(rule(recipe))
    findings.extend(recipe.task.issues(recipe, None if size is None else size.hidden))
    if teacher is not None:
        if recipe.data.max_length > teacher.positions:
            message = f"the teacher reads at most {teacher.positions} tokens"
            findings.append((("data", "max_length"), message))
        elif recipe.data.max_length > teacher.student_positions:
            message = f"a student of a {teacher.family} reads at most {teacher.student_positions}"
            findings.append((("data", "max_length"), f"{message} tokens"))
        for loc, message in recipe.teacher.issues(recipe.data.max_length):
            findings.append((("teacher", *loc), message))
        if size is not None:
            for loc, message in recipe.student.issues(size, teacher):
                findings.append((("student", *loc), message))
    before = Before(size, teacher)
    for index, stage in enumerate(recipe.stages):
        for loc, message in stage.issues(recipe, before):
            findings.append((("stages", index, *loc), message))
        before = before.after(stage)
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
