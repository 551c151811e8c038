"""A recipe's labelled data: read from their source, checked, and made into splits."""

from __future__ import annotations

import numpy as np

from distill.data.bad_rows import HINT, BadRows
from distill.data.hold_out import hold_out
from distill.data.labels import is_unlabelled
from distill.data.reader import LIMITED, Reader
from distill.data.sources.builtin import read_builtin
from distill.data.sources.columnar import MORE, read_hub
from distill.data.sources.files import read_files
from distill.data.sources.table import Table
from distill.data.split import Split, TaskData, shared_with_training
from distill.data.targets import add_targets
from distill.files.bad_rows import BadRowError
from distill.recipe.schema import DataConfig, TeacherConfig
from distill.system.errors import DataError
from distill.tasks import task_class
from distill.tasks.config import TaskSection

# A stream of random numbers that a seed gives; 0 is the hold-out's.
_LIMIT = 1
_ROLES = ("train", "validation", "test")


def load_task_data(
    data: DataConfig, task: TaskSection, *, seed: int, teacher: TeacherConfig | None = None
) -> TaskData:
    """Read and check everything a recipe's ``data`` section names.

    Without validation examples, a tenth of the training examples is held out for them, label by
    label. Test examples without labels are left aside. Both stand in the notes. With
    ``data.on_bad_row: skip``, rows that cannot be used are set aside and counted.

    Args:
        data: the ``data`` section.
        task: the ``task`` section.
        seed: draws the examples held out and those that the limits keep.
        teacher: the ``teacher`` section, whose ``targets`` belong to the rows.

    Raises:
        DataError: anything about the rows that cannot be used as it is, in one line.
    """
    reader = task_class(task.kind).reader(data.columns, task, BadRows(data.on_bad_row))
    try:
        return _load(data, reader, seed, teacher)
    except BadRowError as error:
        raise DataError(f"{error}; {HINT}") from error


def _load(data: DataConfig, reader: Reader, seed: int, teacher: TeacherConfig | None) -> TaskData:
    bad, notes = reader.bad, reader.notes
    tables = _tables(data, reader)
    places = {role: table.place for role, table in tables.items()}
    bad.check({table.place: len(table) for table in tables.values()})
    notes += [note for table in tables.values() for note in table.notes]
    if "test" in tables and is_unlabelled(tables["test"], reader.label_column, known=reader.known):
        place = tables.pop("test").place
        notes.append(f"{place}: no labels, so it is not used as test")
    read, labels = reader.read(tables)
    splits = dict(read)
    if teacher is not None:
        splits = add_targets(teacher, reader, splits, tables, labels)
    notes += bad.notes({places[role]: len(split) for role, split in splits.items()})
    if "validation" not in splits:
        _check_sentences(splits["train"], tables["train"])
        splits["train"], splits["validation"] = hold_out(
            splits["train"], labels, seed, place=places["train"], notes=notes
        )
    whole = len(splits["train"])
    for role in splits:
        limit = data.limit_train if role == "train" else data.limit_validation
        if limit is not None:
            splits[role] = _limited(splits[role], limit, seed, notes)
    limited = len(splits["train"]) < whole
    notes += reader.check(splits, labels, place=LIMITED if limited else places["train"])
    notes += shared_with_training(splits)
    return TaskData(
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        labels=labels,
        more={name: splits[MORE + name] for name in data.more},
        notes=notes,
        bad=bad.rows,
    )


def _tables(data: DataConfig, reader: Reader) -> dict[str, Table]:
    if data.source == "builtin":
        return read_builtin(data, several=reader.several)
    if data.source == "files":
        return read_files(data, reader.wanted, reader.bad, column_files=reader.column_files)
    return read_hub(data, reader.wanted)


def _limited(split: Split, limit: int, seed: int, notes: list[str]) -> Split:
    if limit >= len(split):
        return split
    # Sets of further rows are drawn alike, whatever they are called.
    role = _ROLES.index(split.name) if split.name in _ROLES else len(_ROLES)
    random = np.random.default_rng([seed, _LIMIT, role])
    rows = np.sort(random.choice(len(split), limit, replace=False))
    notes.append(f"{split.name}: {limit:,} of {len(split):,} examples are used, drawn by the seed")
    return split.take(rows)


def _check_sentences(train: Split, table: Table) -> None:
    if table.word_lines and len(train) == 1:
        raise DataError(
            f"{table.place}: the file is one sentence (no blank line parts its lines), which "
            "leaves nothing to train on; put a blank line after each sentence"
        )
