"""A recipe's data: read from their source, checked, and made into splits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distill.data.labels import clean_column, is_unlabelled, label_names, to_integers
from distill.data.sources.builtin import read_builtin
from distill.data.sources.files import MORE, read_files
from distill.data.sources.hub import read_hub
from distill.data.sources.table import Table
from distill.data.split import Split, TaskData
from distill.errors import DataError
from distill.recipe.schema import ClassificationTask, Columns, DataConfig

logger = logging.getLogger("distill")

_Source = Callable[[DataConfig, Sequence[str], Path | None], dict[str, Table]]

_SOURCES: dict[str, _Source] = {"builtin": read_builtin, "files": read_files, "hub": read_hub}

# Streams of random numbers that a seed gives, one for each thing that is drawn.
_HOLD_OUT, _LIMIT = 0, 1
_ROLES = ("train", "validation", "test")


def load_task_data(
    data: DataConfig, task: ClassificationTask, *, seed: int, base: Path | None = None
) -> TaskData:
    """Read and check everything a recipe's ``data`` section names.

    Without validation rows, a tenth of the training rows is held out for them. Test rows without
    labels are left aside. Both are told in the notes.

    Args:
        data: the ``data`` section.
        task: the ``task`` section.
        seed: draws the rows held out and those that the limits keep.
        base: the folder that relative paths start from; ``None`` is the current one.

    Raises:
        DataError: anything about the rows that cannot be used as it is, told in one line.
    """
    columns = Columns() if data.source == "builtin" else data.columns
    wanted = [columns.text, columns.label]
    if columns.text_pair is not None:
        wanted.insert(1, columns.text_pair)
    tables = _SOURCES[data.source](data, wanted, base)
    notes = [note for table in tables.values() for note in table.notes]
    if "test" in tables and is_unlabelled(tables["test"], columns.label):
        place = tables.pop("test").place
        notes.append(f"{place}: no labels, so it is not used as test")
    splits, labels = _splits(tables, columns, task, notes)
    if "validation" not in splits:
        splits["train"], splits["validation"] = _hold_out(splits["train"], seed, notes)
    for role in splits:
        limit = data.limit_train if role == "train" else data.limit_validation
        if limit is not None:
            splits[role] = _limited(splits[role], limit, seed, notes)
    _check_two_labels(splits["train"], labels)
    return TaskData(
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        labels=labels,
        more={name: splits[MORE + name] for name in data.more},
        notes=notes,
    )


def _splits(
    tables: dict[str, Table], columns: Columns, task: ClassificationTask, notes: list[str]
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Check texts and labels of every split, and turn labels into integers."""
    raw: dict[str, list[str | int]] = {}
    texts: dict[str, tuple[list[str], list[str] | None]] = {}
    for role, table in tables.items():
        pair = columns.text_pair
        first = _texts(table, columns.text, "data.columns.text")
        second = None if pair is None else _texts(table, pair, "data.columns.text_pair")
        texts[role] = first, second
        raw[role] = clean_column(table, columns.label)
    labels = label_names(raw["train"], tables["train"], given=task.labels)
    train = to_integers(raw["train"], tables["train"], labels, seen=None)
    seen = set(train)
    unseen = [name for index, name in enumerate(labels) if index not in seen]
    if unseen:
        names = ", ".join(f"'{name}'" for name in unseen)
        notes.append(f"{tables['train'].place}: no row has the label {names}")
    # Labels that the recipe or the data name may stand in validation alone: that was declared.
    declared = task.labels is not None or tables["train"].label_names is not None
    found = {}
    for role, table in tables.items():
        integers = (
            train
            if role == "train"
            else to_integers(raw[role], table, labels, seen=None if declared else seen)
        )
        found[role] = Split(role, texts[role][0], integers, pairs=texts[role][1])
    return found, labels


def _texts(table: Table, column: str, key: str) -> list[str]:
    """A column of texts, each of which says something.

    Raises:
        DataError: no such column, or a text that is missing, empty, or not text.
    """
    values = table.column(column, key)
    faults = [row for row, value in enumerate(values) if _text_fault(value) is not None]
    if faults:
        more = len(faults) - 1
        rest = f" (and {more:,} more row{'s' * (more > 1)})" if more else ""
        row = faults[0]
        raise DataError(
            f"{table.at(row)}: column '{column}' {_text_fault(values[row])}{rest}; every row "
            "needs a text, so mend or remove it"
        )
    return values


def _text_fault(value: Any) -> str | None:
    if isinstance(value, str):
        if not value.strip():
            return "is empty"
        if "\0" in value:
            return "holds a NUL character"
        # JSON can spell half a surrogate pair, which is no character and has no UTF-8 bytes.
        if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
            return "holds half a surrogate pair"
        return None
    if value is None:
        return "is missing"
    return f"holds {type(value).__name__} instead of text"


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


def _check_two_labels(train: Split, labels: Sequence[str]) -> None:
    if len(set(train.labels)) < 2:
        kept = labels[train.labels[0]] if train.labels else "none"
        raise DataError(
            f"data.limit_train: the {len(train):,} training rows kept all have the label "
            f"'{kept}'; keep more"
        )
