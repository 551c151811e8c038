"""Faults of the data and task sections, and of the teacher's labels."""

from __future__ import annotations

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import (
    BUILTIN,
    BUILTIN_COLUMNS,
    ClassificationTask,
    LabelledTask,
    MultiLabelTask,
    NerTask,
    QuestionTask,
    Recipe,
    TextTask,
)
from distill.recipe.yaml_lines import Loc


def one_seed_or_several(recipe: Recipe) -> Findings:
    """``seeds`` stand in the place of ``seed``."""
    if recipe.seeds is not None and "seed" in recipe.model_fields_set:
        yield ("seed",), "given beside 'seeds'; leave one of them out"


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
    if data.more and (data.source == "builtin" or not isinstance(recipe.task, LabelledTask)):
        yield ("data", "more"), "only for rows with labels from `files` or the `hub`; leave it out"
    if data.on_bad_row == "skip" and isinstance(recipe.task, TextTask):
        yield ("data", "on_bad_row"), "only for rows with labels, not unlabelled text; leave it out"
    named = [
        (key, column)
        for key, column in (
            ("text", data.columns.text),
            ("text_pair", data.columns.text_pair),
            ("label", data.columns.label if isinstance(recipe.task, LabelledTask) else None),
            ("id", data.columns.id),
        )
        if column is not None
    ]
    if data.source == "builtin" and not isinstance(recipe.task, NerTask | QuestionTask):
        for key, column in named:
            if column not in BUILTIN_COLUMNS:
                columns = ", ".join(BUILTIN_COLUMNS)
                there = f"'{data.path}' has no column '{column}'; its columns are {columns}"
                yield ("data", "columns", key), there
    for index, (key, column) in enumerate(named):
        for other, same in named[:index]:
            if column == same:
                yield (
                    ("data", "columns", key),
                    f"'{column}' is the column of '{other}' too; they differ",
                )


def task_section(recipe: Recipe) -> Findings:
    """A metric that does not fit the labels, and what the kind of task has no use for."""
    labels = recipe.task.labels
    if isinstance(recipe.task, MultiLabelTask) and isinstance(recipe.task.thresholds, dict):
        for name in recipe.task.thresholds:
            if labels is not None and name not in labels:
                yield ("task", "thresholds", name), f"no label; labels are {', '.join(labels)}"
    if recipe.data.columns.separator is not None and not isinstance(recipe.task, MultiLabelTask):
        yield ("data", "columns", "separator"), "only for task.kind: multi_label; leave it out"
    classes = isinstance(recipe.task, ClassificationTask)
    if classes and recipe.task.metric == "f1" and labels is not None and len(labels) != 2:
        yield (
            ("task", "metric"),
            f"f1 is of two labels and there are {len(labels)}; take macro_f1 or accuracy",
        )


def teacher_labels(recipe: Recipe) -> Findings:
    """Label names given for a teacher that are not the task's."""
    if not isinstance(recipe.task, LabelledTask):
        if recipe.teacher.more:
            said = "further teachers give logits, which a run over unlabelled text has not"
            yield ("teacher", "more"), f"{said}; leave them out"
        return
    labels = recipe.task.labels
    for number, teacher in enumerate(recipe.teacher.all):
        loc: Loc = ("teacher", "more", number - 1, "labels") if number else ("teacher", "labels")
        if teacher.labels is None:
            continue
        if teacher.finetune is not None:
            yield loc, "only for a teacher that is used as it is; leave it or `finetune` out"
        elif isinstance(recipe.task, NerTask):
            continue  # labels may be types of entities alone
        elif labels is not None and sorted(labels) != sorted(teacher.labels):
            found = f"found {', '.join(teacher.labels)}"
            yield loc, f"{found}; the task's labels are {', '.join(labels)}"
