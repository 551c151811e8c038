"""Faults of the data and task sections, and of the teacher's labels."""

from __future__ import annotations

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import ClassificationTask, Recipe

#: Data sets that need no network.
BUILTIN = ("docstrings",)


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
    named = [
        (key, column)
        for key, column in (
            ("text", data.columns.text),
            ("text_pair", data.columns.text_pair),
            ("label", data.columns.label if isinstance(recipe.task, ClassificationTask) else None),
        )
        if column is not None
    ]
    for index, (key, column) in enumerate(named):
        for other, same in named[:index]:
            if column == same:
                yield (
                    ("data", "columns", key),
                    f"'{column}' is the column of '{other}' too; they differ",
                )


def task_section(recipe: Recipe) -> Findings:
    """A metric that does not fit the labels."""
    labels = recipe.task.labels
    if recipe.task.metric == "f1" and labels is not None and len(labels) != 2:
        yield (
            ("task", "metric"),
            f"f1 is of two labels and there are {len(labels)}; take macro_f1 or accuracy",
        )


def teacher_labels(recipe: Recipe) -> Findings:
    """Label names given for a teacher that are not the task's."""
    teacher = recipe.teacher
    if teacher.labels is None or not isinstance(recipe.task, ClassificationTask):
        return
    labels = recipe.task.labels
    if teacher.finetune is not None:
        yield (
            ("teacher", "labels"),
            "only for a teacher that is used as it is; leave it or `finetune` out",
        )
    elif labels is not None and sorted(labels) != sorted(teacher.labels):
        yield (
            ("teacher", "labels"),
            f"found {', '.join(teacher.labels)}; the task's labels are {', '.join(labels)}",
        )
