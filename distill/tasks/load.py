"""The data of a recipe, read as its task kind reads them."""

from __future__ import annotations

from pathlib import Path

from distill.data.load import load_data
from distill.data.reader import Reader
from distill.data.split import TaskData
from distill.data.targets import Targets
from distill.recipe.schema import Columns, DataConfig, TeacherConfig
from distill.tasks import reader_class
from distill.tasks.config import TaskSection


def make_reader(task: TaskSection, columns: Columns) -> Reader:
    """What reads the examples of a task.

    Args:
        task: the recipe's ``task`` section.
        columns: which columns of the data hold what.
    """
    return reader_class(task.kind)(columns, task)


def load_task_data(
    data: DataConfig,
    task: TaskSection,
    *,
    seed: int,
    base: Path | None = None,
    teacher: TeacherConfig | None = None,
) -> TaskData:
    """Read and check everything a recipe's ``data`` section names.

    See :func:`distill.data.load.load_data`.

    Args:
        data: the ``data`` section.
        task: the ``task`` section.
        seed: draws the examples held out and those that the limits keep.
        base: the folder that relative paths start from; ``None`` is the current one.
        teacher: the ``teacher`` section, whose ``targets`` belong to the rows.

    Raises:
        DataError: anything about the rows that cannot be used as it is, in one line.
    """
    reader, targets = make_reader(task, data.columns), None
    if teacher is not None and teacher.files:
        targets = Targets(
            teacher.files,
            teacher.values or task.targets[0],
            several=reader.several,
            column=teacher.column,
            order=teacher.labels or task.labels,
            id=data.columns.id,
        )
    return load_data(data, reader, seed=seed, base=base, targets=targets)
