"""A recipe's data: read from their source, checked, and made into splits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distill.data.bad_rows import HINT, BadRows
from distill.data.labels import is_unlabelled
from distill.data.question_rows import to_questions
from distill.data.question_rows import wanted as question_columns
from distill.data.shared_rows import shared_rows
from distill.data.sources.builtin import read_builtin
from distill.data.sources.files import MORE, read_files
from distill.data.sources.hub import read_hub
from distill.data.sources.table import Table
from distill.data.split import Split, TaskData
from distill.data.tagged import TaggedSplit
from distill.data.tagged_rows import check_entities, to_tagged
from distill.data.tagged_rows import wanted as tagged_columns
from distill.data.targets import read_targets, target_faults
from distill.data.texts import ADVICE, id_faults, text_faults
from distill.data.vectors import VectorSplit, check_scored, read_vectors
from distill.errors import DataError
from distill.files.bad_rows import BadRowError
from distill.recipe.schema import (
    Columns,
    DataConfig,
    LabelledTask,
    MultiLabelTask,
    NamedLabels,
    NerTask,
    QuestionTask,
    VectorsTask,
)

logger = logging.getLogger("distill")

# Streams of random numbers that a seed gives, one for each thing that is drawn.
_HOLD_OUT, _LIMIT = 0, 1
_ROLES = ("train", "validation", "test")


def load_task_data(
    data: DataConfig, task: LabelledTask, *, seed: int, base: Path | None = None
) -> TaskData:
    """Read and check everything a recipe's ``data`` section names.

    Without validation rows, a tenth of the training rows is held out for them. Test rows without
    labels are left aside. Both are told in the notes. With ``data.on_bad_row: skip``, rows that
    cannot be used are set aside and counted.

    Args:
        data: the ``data`` section.
        task: the ``task`` section.
        seed: draws the rows held out and those that the limits keep.
        base: the folder that relative paths start from; ``None`` is the current one.

    Raises:
        DataError: anything about the rows that cannot be used as it is, told in one line.
    """
    bad = BadRows(data.on_bad_row)
    try:
        return _load(data, task, seed=seed, base=base, bad=bad)
    except BadRowError as error:
        raise DataError(f"{error}; {HINT}") from error


def _load(
    data: DataConfig, task: LabelledTask, *, seed: int, base: Path | None, bad: BadRows
) -> TaskData:
    columns = data.columns
    named, right = _named(columns, task)
    if data.source == "builtin":
        several = isinstance(task, MultiLabelTask)
        tables = read_builtin(data, named, base, bad, several=several)
    elif data.source == "files":
        tables = read_files(data, named, base, bad, tagged=isinstance(task, NerTask))
    else:
        tables = read_hub(data, named, base, bad)
    places = {role: table.place for role, table in tables.items()}
    bad.check({table.place: len(table) for table in tables.values()})
    notes = [note for table in tables.values() for note in table.notes]
    given = task.labels if isinstance(task, NamedLabels) else None
    if "test" in tables and is_unlabelled(tables["test"], right, known=given):
        place = tables.pop("test").place
        notes.append(f"{place}: no labels, so it is not used as test")
    splits, labels = _read(tables, columns, task, notes, bad)
    notes += bad.notes({places[role]: len(split) for role, split in splits.items()})
    if "validation" not in splits:
        splits["train"], splits["validation"] = _hold_out(splits["train"], seed, notes)
    for role in splits:
        limit = data.limit_train if role == "train" else data.limit_validation
        if limit is not None:
            splits[role] = _limited(splits[role], limit, seed, notes)
    if isinstance(task, VectorsTask):
        for role, split in splits.items():
            if role != "train" and isinstance(split, VectorSplit):
                check_scored(split)
    elif not isinstance(task, QuestionTask):
        _check_kept(splits["train"], labels)
    notes += shared_rows(splits)
    return TaskData(
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        labels=labels,
        more={name: splits[MORE + name] for name in data.more},
        notes=notes,
        bad=bad.rows,
    )


def _named(columns: Columns, task: LabelledTask) -> tuple[list[str], str]:
    """The columns to read, and the one that says what is right."""
    if isinstance(task, QuestionTask):
        return question_columns(columns), columns.answers
    if isinstance(task, NerTask):
        return tagged_columns(columns), columns.tags
    named = [columns.text, columns.text_pair, columns.label, columns.id]
    return [name for name in named if name is not None], columns.label


def _read(
    tables: dict[str, Table],
    columns: Columns,
    task: LabelledTask,
    notes: list[str],
    bad: BadRows,
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Checked rows of every split, and the names of the labels where the task has any."""
    if isinstance(task, QuestionTask):
        found: dict[str, Split] = {
            role: to_questions(table, columns, task, name=role, bad=bad)
            for role, table in tables.items()
        }
        return found, ()
    if isinstance(task, NerTask):
        rows = to_tagged(tables, columns, task, notes=notes, bad=bad)
        return {**rows}, rows["train"].tag_set.labels
    return _splits(tables, columns, task, notes, bad)


def _splits(
    tables: dict[str, Table],
    columns: Columns,
    task: LabelledTask,
    notes: list[str],
    bad: BadRows,
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Check texts and labels of every split, and turn labels into what the task learns from."""
    if isinstance(task, VectorsTask):
        return dict(read_vectors(tables, columns, bad)), ()
    tables = {role: _whole(table, columns, task, bad) for role, table in tables.items()}
    bad.check({table.place: len(table) for table in tables.values()})
    tables, targets, labels = read_targets(tables, columns, task, notes, bad)
    outputs = len(labels) if isinstance(task, MultiLabelTask) else None
    found = {}
    for role, table in tables.items():
        pairs = None if columns.text_pair is None else table.columns[columns.text_pair]
        texts = table.columns[columns.text]
        found[role] = Split(role, texts, targets[role], pairs=pairs, outputs=outputs)
    return found, labels


def _whole(table: Table, columns: Columns, task: LabelledTask, bad: BadRows) -> Table:
    """The rows that have a text, a second one where they are pairs, a label and an id."""
    for name, key in ((columns.text, "text"), (columns.text_pair, "text_pair")):
        if name is not None:
            faults = text_faults(table, name, f"data.columns.{key}")
            table = bad.sift(table, faults, advice=ADVICE)
    table = bad.sift(table, target_faults(table, columns, task))
    return table if columns.id is None else bad.sift(table, id_faults(table, columns.id))


def _hold_out(train: Split, seed: int, notes: list[str]) -> tuple[Split, Split]:
    """Part the training rows: nine tenths to learn from, one tenth to choose by, both in order."""
    size = max(1, len(train) // 10)
    random = np.random.default_rng([seed, _HOLD_OUT])
    held = set(random.choice(len(train), size, replace=False).tolist())
    rest = [row for row in range(len(train)) if row not in held]
    notes.append(
        f"no validation data: {size:,} of {len(train):,} training rows are held out for it"
    )
    return train.take(rest), train.take(sorted(held)).renamed("validation")


def _limited(split: Split, limit: int, seed: int, notes: list[str]) -> Split:
    """Keep so many rows, drawn by the seed, in their own order."""
    if limit >= len(split):
        return split
    # Sets of further rows are drawn alike, whatever they are called.
    role = _ROLES.index(split.name) if split.name in _ROLES else len(_ROLES)
    random = np.random.default_rng([seed, _LIMIT, role])
    rows = np.sort(random.choice(len(split), limit, replace=False))
    notes.append(f"{split.name}: {limit:,} of {len(split):,} rows are used, drawn by the seed")
    return split.take(rows.tolist())


def _check_kept(train: Split, labels: Sequence[str]) -> None:
    """Look whether the rows that the limits kept still tell labels apart."""
    if isinstance(train, TaggedSplit):
        check_entities(train)
    elif len(set(train.labels)) < 2:
        only = train.labels[0] if train.labels else "none"
        kept = labels[only] if isinstance(only, int) else only
        raise DataError(
            f"data.limit_train: the {len(train):,} training rows kept all have the label "
            f"'{kept}'; keep more"
        )
