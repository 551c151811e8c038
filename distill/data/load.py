"""A recipe's data: read from their source, checked, and made into splits."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from distill.data.bad_rows import HINT, BadRows
from distill.data.hold_out import hold_out
from distill.data.labels import is_unlabelled
from distill.data.question_rows import to_questions
from distill.data.question_rows import wanted as question_columns
from distill.data.shared_rows import shared_rows
from distill.data.sources.builtin import read_builtin
from distill.data.sources.files import MORE, read_files
from distill.data.sources.hub import read_hub
from distill.data.sources.table import Table
from distill.data.split import Split, TaskData, named
from distill.data.tagged import TaggedSplit
from distill.data.tagged_rows import seen_types, to_tagged
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

# A stream of random numbers that a seed gives; 0 is the hold-out's.
_LIMIT = 1
_ROLES = ("train", "validation", "test")


def load_task_data(
    data: DataConfig, task: LabelledTask, *, seed: int, base: Path | None = None
) -> TaskData:
    """Read and check everything a recipe's ``data`` section names.

    Without validation rows, a tenth of the training rows is held out for them, label by label.
    Test rows without labels are left aside. Both are told in the notes. With
    ``data.on_bad_row: skip``, rows that cannot be used are set aside and counted.

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
        splits["train"], splits["validation"] = _hold_out(
            splits["train"], tables["train"], labels, seed, notes
        )
    whole = len(splits["train"])
    for role in splits:
        limit = data.limit_train if role == "train" else data.limit_validation
        if limit is not None:
            splits[role] = _limited(splits[role], limit, seed, notes)
    if isinstance(task, VectorsTask):
        for role, split in splits.items():
            if role != "train" and isinstance(split, VectorSplit):
                check_scored(split)
    elif not isinstance(task, QuestionTask):
        limited = len(splits["train"]) < whole
        _check_kept(splits["train"], labels, None if limited else places["train"])
        notes += _one_label(splits, labels)
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


def _hold_out(
    train: Split, table: Table, labels: Sequence[str], seed: int, notes: list[str]
) -> tuple[Split, Split]:
    """See :func:`distill.data.hold_out.hold_out`."""
    if table.word_lines and len(train) == 1:
        raise DataError(
            f"{table.place}: the file is one sentence (no blank line parts its lines), which "
            "leaves nothing to train on; put a blank line after each sentence"
        )
    names = train.tag_set.types if isinstance(train, TaggedSplit) else labels
    return hold_out(train, names, seed, place=table.place, notes=notes)


def _check_kept(train: Split, labels: Sequence[str], place: str | None) -> None:
    """Look whether the training rows still tell labels apart.

    Args:
        train: the rows.
        labels: the task's labels.
        place: where they stand; ``None`` where ``data.limit_train`` left some of them out.
    """
    where, advice = (place, "") if place else ("data.limit_train", "; keep more")
    if isinstance(train, TaggedSplit):
        if not seen_types(train):
            raise DataError(
                f"{where}: the {len(train):,} training rows kept have no entity{advice}"
            )
    elif len(set(train.labels)) < 2:
        only = named(train.labels[0], labels) if train.labels else "none"
        raise DataError(
            f"{where}: the {len(train):,} training rows kept all have the label '{only}'{advice}"
        )


def _one_label(splits: Mapping[str, Split], labels: Sequence[str]) -> list[str]:
    """A note on each split to score on whose rows all have one label."""
    return [
        f"{split.name}: all {len(split):,} rows have the label '{labels[split.labels[0]]}'; "
        "a model that always predicts it has the best score"
        for role, split in splits.items()
        if role != "train"
        and isinstance(split.labels[0], int)
        and len(set(split.labels)) == 1 < len(split)
    ]
