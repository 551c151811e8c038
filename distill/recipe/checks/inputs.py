"""Faults of the data and task sections, and of the teacher's labels."""

from __future__ import annotations

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import BUILTIN, BUILTIN_COLUMNS, Recipe
from distill.recipe.yaml_lines import Loc
from distill.tasks import KINDS, config_class


def data_section(recipe: Recipe) -> Findings:
    """What the data section lacks, and columns named twice."""
    data = recipe.data
    if data.source == "hub" and not data.path:
        yield ("data", "path"), "missing; 'hub' needs a data set's name, such as nyu-mll/glue"
    if data.source == "files" and not data.train:
        yield ("data", "train"), "missing; 'files' needs the path of the training rows"
    if data.source == "builtin" and data.path not in BUILTIN:
        found = f"found '{data.path}'" if data.path else "missing"
        yield ("data", "path"), f"{found}; the built-in data sets are: {', '.join(BUILTIN)}"
    if data.more and data.source == "builtin":
        yield ("data", "more"), "only for rows with labels from `files` or the `hub`; leave it out"
    named = {
        key: column
        for key in recipe.task.columns
        if key != "separator" and (column := getattr(data.columns, key)) is not None
    }
    if data.source == "builtin" and "text" in named:
        own = ", ".join(BUILTIN_COLUMNS)
        for key, column in named.items():
            if column not in BUILTIN_COLUMNS:
                there = f"'{data.path}' has no column '{column}'; its columns are {own}"
                yield ("data", "columns", key), there
    for index, (key, column) in enumerate(named.items()):
        for other, same in list(named.items())[:index]:
            if column == same:
                yield (
                    ("data", "columns", key),
                    f"'{column}' is the column of '{other}' too; they differ",
                )


def columns(recipe: Recipe) -> Findings:
    """Columns that the task has no use for; a resolved recipe names those it has by default."""
    task, given = recipe.task, recipe.data.columns
    for key, field in type(given).model_fields.items():
        if key in task.columns or getattr(given, key) == field.default:
            continue
        others = [kind for kind in KINDS if key in config_class(kind).columns]
        said = f"task.kind: {task.kind} has the columns {', '.join(task.columns)}"
        if len(others) == 1:
            said = f"only for task.kind: {others[0]}"
        yield ("data", "columns", key), f"{said}; leave it out"


def teacher_labels(recipe: Recipe) -> Findings:
    """Label names given for a teacher that are not the task's."""
    labels = recipe.task.labels
    for number, teacher in enumerate(recipe.teacher.all):
        loc: Loc = ("teacher", "more", number - 1, "labels") if number else ("teacher", "labels")
        if teacher.labels is None:
            continue
        if teacher.finetune is not None:
            yield loc, "only for a teacher that is used as it is; leave it or `finetune` out"
        elif labels is not None and not recipe.task.teacher_labels_fit(teacher.labels):
            found = f"found {', '.join(teacher.labels)}"
            yield loc, f"{found}; the task's labels are {', '.join(labels)}"
