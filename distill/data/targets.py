"""What is right for each row, as the data say it, made into what a task learns from."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from distill.data.bad_rows import BadRows
from distill.data.labels import (
    clean,
    clean_column,
    index_of,
    label_faults,
    label_names,
    to_integers,
    wrong_labels,
)
from distill.data.sources.table import Table
from distill.errors import DataError
from distill.recipe.schema import Columns, LabelledTask, MultiLabelTask, NamedLabels, RegressionTask

Tables = dict[str, Table]
#: The rows that are left, of each role their labels, and the names of the outputs.
Targets = tuple[Tables, dict[str, list[Any]], tuple[str, ...]]


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
    raw = {
        role: clean_column(table, columns.label, known=task.labels)
        for role, table in tables.items()
    }
    labels = label_names(raw["train"], tables["train"], given=task.labels)
    # Labels that the recipe or the data name may stand in validation alone: that was declared.
    declared = task.labels is not None or tables["train"].label_names is not None
    seen: set[int] | None = None
    left, found = {}, {}
    for role in sorted(tables, key=lambda role: role != "train"):
        known = None if declared else seen
        wrong = wrong_labels(raw[role], tables[role], labels, seen=known)
        left[role] = bad.sift(tables[role], wrong)
        values = [value for row, value in enumerate(raw[role]) if row not in wrong]
        found[role] = to_integers(values, left[role], labels, seen=known)
        if role == "train":
            seen = set(found[role])
            notes += _unseen(left[role], labels, seen)
    return {role: left[role] for role in tables}, {role: found[role] for role in tables}, labels


def _unseen(table: Table, labels: Sequence[str], seen: set[int]) -> list[str]:
    """A note on labels that no training row has."""
    names = ", ".join(f"'{name}'" for index, name in enumerate(labels) if index not in seen)
    return [f"{table.place}: no row has the label {names}"] if names else []


def _several(
    tables: Tables, columns: Columns, task: MultiLabelTask, notes: list[str], bad: BadRows
) -> Targets:
    """Any number of labels a row, each an integer, in ascending order."""
    raw = {
        role: [found for found in _cells(table, columns) if not isinstance(found, str)]
        for role, table in tables.items()
    }
    flat = [value for row in raw["train"] for value in row]
    if not flat:
        raise DataError(f"{tables['train'].place}: no row has a label in '{columns.label}'")
    labels = label_names(flat, tables["train"], given=task.labels)
    by_name = {name: index for index, name in enumerate(labels)}
    left, found = {}, {}
    for role, table in tables.items():
        read = [_indices(values, by_name) for values in raw[role]]
        wrong = {row: said for row, said in enumerate(read) if isinstance(said, str)}
        left[role] = bad.sift(table, wrong)
        found[role] = [indices for indices in read if not isinstance(indices, str)]
    notes += _unseen(left["train"], labels, {i for row in found["train"] for i in row})
    return left, found, labels


def _indices(values: list[str | int], by_name: dict[str, int]) -> tuple[int, ...] | str:
    """A row's labels as ascending indices, or what is wrong with them."""
    found: list[int] = []
    for value in values:
        index = index_of(value, by_name)
        if isinstance(index, str):
            return index
        if index in found:
            return f"the label '{value}' stands twice in the row"
        found.append(index)
    return tuple(sorted(found))


def _cells(table: Table, columns: Columns) -> list[list[str | int] | str]:
    """Of each row its labels, or what is wrong with the cell."""
    values = table.column(columns.label, "data.columns.label")
    return [_labels(value, columns.separator, columns.label) for value in values]


def _labels(value: Any, separator: str | None, column: str) -> list[str | int] | str:
    found = []
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
