"""What is right for each row, as the data say it, made into what a task learns from."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from distill.data.bad_rows import BadRows
from distill.data.label_index import LabelIndex
from distill.data.labels import Label, clean, clean_column, label_faults, label_names
from distill.data.sources.table import Table
from distill.errors import DataError
from distill.recipe.schema import Columns, LabelledTask, MultiLabelTask, NamedLabels, RegressionTask

Tables = dict[str, Table]
#: The rows that are left, of each role their labels, and the names of the outputs.
Targets = tuple[Tables, dict[str, list[Any]], tuple[str, ...]]
#: Of each role the labels of each row, as the data have them.
_Raw = dict[str, list[list[Label]]]


def target_faults(table: Table, columns: Columns, task: LabelledTask) -> dict[int, str]:
    """Rows whose label is missing or of the wrong kind.

    Returns:
        What is wrong, by the row's index.

    Raises:
        DataError: no such column.
    """
    if isinstance(task, RegressionTask):
        values = table.column(columns.label, "data.columns.label")
        faults = (_number_fault(value, columns.label, task) for value in values)
        return {row: fault for row, fault in enumerate(faults) if fault is not None}
    if isinstance(task, MultiLabelTask):
        cells = _cells(table, columns)
        return {row: found for row, found in enumerate(cells) if isinstance(found, str)}
    assert isinstance(task, NamedLabels)
    return label_faults(table, columns.label, known=task.labels)


def read_targets(
    tables: Tables, columns: Columns, task: LabelledTask, notes: list[str], bad: BadRows
) -> Targets:
    """The labels of every split: integers, numbers, or tuples of integers.

    Args:
        tables: by role, without the rows that :func:`target_faults` told; ``train`` is there.
        columns: which of their columns holds the labels.
        task: what kind of labels they are.
        notes: gets a sentence where labels stand in no training row.
        bad: what to do with rows whose labels are not the task's.

    Raises:
        DataError: labels cannot be used, with the row.
    """
    if isinstance(task, RegressionTask):
        numbers = {
            role: [float(value) for value in table.column(columns.label, "data.columns.label")]
            for role, table in tables.items()
        }
        return tables, numbers, ()
    if isinstance(task, MultiLabelTask):
        return _several(tables, columns, task, notes, bad)
    assert isinstance(task, NamedLabels)
    return _one(tables, columns, task, notes, bad)


def _one(
    tables: Tables, columns: Columns, task: NamedLabels, notes: list[str], bad: BadRows
) -> Targets:
    """One label a row."""
    raw: _Raw = {
        role: [[value] for value in clean_column(table, columns.label, known=task.labels)]
        for role, table in tables.items()
    }
    # Labels that the recipe or the data name may stand in validation alone: that was declared.
    declared = task.labels is not None or tables["train"].label_names is not None
    left, found, labels = _indexed(tables, raw, task, notes, bad, unseen=declared)
    return left, {role: [row[0] for row in rows] for role, rows in found.items()}, labels


def _several(
    tables: Tables, columns: Columns, task: MultiLabelTask, notes: list[str], bad: BadRows
) -> Targets:
    """Any number of labels a row, each an integer, in ascending order."""
    raw: _Raw = {
        role: [cell for cell in _cells(table, columns) if not isinstance(cell, str)]
        for role, table in tables.items()
    }
    if not any(raw["train"]):
        raise DataError(f"{tables['train'].place}: no row has a label in '{columns.label}'")
    left, found, labels = _indexed(tables, raw, task, notes, bad, unseen=True)
    return (
        left,
        {role: [tuple(sorted(row)) for row in rows] for role, rows in found.items()},
        labels,
    )


def _indexed(
    tables: Tables, raw: _Raw, task: NamedLabels, notes: list[str], bad: BadRows, *, unseen: bool
) -> tuple[Tables, dict[str, list[list[int]]], tuple[str, ...]]:
    """Of each row of every split the indices of its labels.

    Args:
        tables: by role.
        raw: the labels of each row of them.
        task: names the labels, where the recipe does.
        notes: gets sentences on integers, and on labels that training lacks.
        bad: what to do with rows whose labels are not the task's.
        unseen: whether splits may have labels that stand in no training row.

    Returns:
        The rows that are left, their indices, and the names of the labels.
    """
    values = {role: [value for row in rows for value in row] for role, rows in raw.items()}
    labels = label_names(values["train"], tables["train"], given=task.labels)
    left, found = {}, {}
    seen: set[int] = set()
    for role in sorted(tables, key=lambda role: role != "train"):
        index = LabelIndex(labels, values[role], tables[role])
        known = {value: index.find(value) for value in set(values[role])}
        if role != "train" and not unseen:
            known = {value: _seen(one, seen, labels) for value, one in known.items()}
        read = [_indices(row, known) for row in raw[role]]
        wrong = {row: fault for row, fault in enumerate(read) if isinstance(fault, str)}
        left[role] = bad.sift(tables[role], wrong)
        found[role] = [indices for indices in read if not isinstance(indices, str)]
        notes += [index.note] if index.note else []
        if role == "train":
            seen = {one for row in found[role] for one in row}
            notes += _unseen(left[role], labels, seen)
    return {role: left[role] for role in tables}, {role: found[role] for role in tables}, labels


def _seen(index: int | str, seen: set[int], labels: Sequence[str]) -> int | str:
    """An index, or what is wrong with it where no training row has this label."""
    if isinstance(index, str) or index in seen:
        return index
    return f"the label '{labels[index]}' has no row in the training data; a model cannot learn it"


def _unseen(table: Table, labels: Sequence[str], seen: set[int]) -> list[str]:
    """A note on labels that no training row has."""
    names = ", ".join(f"'{name}'" for index, name in enumerate(labels) if index not in seen)
    return [f"{table.place}: no row has the label {names}"] if names else []


def _indices(values: list[Label], known: dict[Label, int | str]) -> list[int] | str:
    """A row's labels as indices, or what is wrong with them."""
    found: list[int] = []
    for value in values:
        index = known[value]
        if isinstance(index, str):
            return index
        if index in found:
            return f"the label '{value}' stands twice in the row"
        found.append(index)
    return found


def _cells(table: Table, columns: Columns) -> list[list[Label] | str]:
    """Of each row its labels, or what is wrong with the cell."""
    values = table.column(columns.label, "data.columns.label")
    return [_labels(value, columns.separator, columns.label) for value in values]


def _labels(value: Any, separator: str | None, column: str) -> list[Label] | str:
    found: list[Label] = []
    cells = _split(value, separator, column)
    if isinstance(cells, str):
        return cells
    for cell in cells:
        try:
            label = clean(cell)
        except TypeError:
            label = None
        if label is None:
            return f"one of the labels is {cell!r}; a name or an integer is expected"
        found.append(label)
    return found


def _split(value: Any, separator: str | None, column: str) -> list[Any] | str:
    """The labels in a cell, or what is wrong with it; an empty cell of text has none."""
    if isinstance(value, np.ndarray | list | tuple):
        return list(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return f"the labels are missing in column '{column}'; write [] for none"
    if not isinstance(value, str):
        return [value]
    text = value.strip()
    if separator is not None:
        return [part for part in (piece.strip() for piece in text.split(separator)) if part]
    if not text.startswith("["):
        return [text] if text else []
    try:
        return list(json.loads(text))
    except json.JSONDecodeError as error:
        return (
            f"the labels are {text[:60]!r}, which is no JSON list ({error.msg}); write "
            '["a", "b"], or name data.columns.separator'
        )


def _number_fault(value: Any, column: str, task: RegressionTask) -> str | None:
    try:
        number = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        return f"column '{column}' holds {value!r}; a regression needs a finite number in every row"
    if task.bounds is not None and not task.bounds[0] <= number <= task.bounds[1]:
        low, high = task.bounds
        return f"{number:g} in column '{column}' is not within task.bounds, {low:g} to {high:g}"
    return None
