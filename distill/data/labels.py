"""Label values, as data have them, to integers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from distill.data.bad_rows import BadRows
from distill.data.sources.table import Table
from distill.errors import DataError, listed, nearest

#: A label as data have it.
Label = str | int
#: GLUE's mark for a row whose label is kept back.
UNLABELLED = -1

_MANY = 50


def clean(value: Any) -> str | int | None:
    """A label value as a name, an integer, or ``None`` where it is missing.

    ``True`` and ``False`` become the names ``true`` and ``false``; a float without a fraction
    becomes an integer; names lose white space around them.

    Raises:
        TypeError: the value is none of these.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        return value.strip() or None
    raise TypeError


def label_faults(
    table: Table, column: str, *, known: Sequence[str] | None = None
) -> dict[int, str]:
    """Rows whose label is missing, or neither name nor integer.

    Args:
        table: the rows.
        column: the column with the labels.
        known: ``task.labels``, where the recipe has it: there ``nan`` may be a name.

    Returns:
        What is wrong, by the row's index.

    Raises:
        DataError: no such column.
    """
    found = {}
    for row, raw in enumerate(table.column(column, "data.columns.label")):
        try:
            value = clean(raw)
        except TypeError:
            found[row] = f"the label is {raw!r}; a name or an integer is expected"
            continue
        if isinstance(raw, float) and math.isnan(raw):
            found[row] = f"the label is missing (NaN) in column '{column}'"
        elif value is None:
            found[row] = f"the label is missing in column '{column}'"
        elif isinstance(value, str) and value.lower() == "nan" and value not in (known or ()):
            found[row] = (
                f"the label is '{value}', which stands for a missing number; where it is a name, "
                "write it into task.labels"
            )
    return found


def clean_column(table: Table, column: str, *, known: Sequence[str] | None = None) -> list[Label]:
    """The labels of all rows.

    Raises:
        DataError: see :func:`label_faults`; the first one is told.
    """
    BadRows().sift(table, label_faults(table, column, known=known))
    found = (clean(raw) for raw in table.column(column, "data.columns.label"))
    return [value for value in found if value is not None]


def is_unlabelled(table: Table, column: str) -> bool:
    """Whether no row of a split has a label: no such column, or nothing but -1 or gaps."""
    values = table.columns.get(column)
    return values is None or all(_is_gap(value) for value in values)


def _is_gap(value: Any) -> bool:
    # A list holds the tags of words; an empty one may say that a row has none of several labels.
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(_is_gap(one) for one in value)
    return value is None or value != value or value in (UNLABELLED, str(UNLABELLED), "")


def _integer(value: Label) -> int | None:
    if isinstance(value, int):
        return value
    digits = value.removeprefix("-")
    return int(value) if digits.isascii() and digits.isdigit() else None


def label_names(
    values: Sequence[Label], table: Table, *, given: Sequence[str] | None
) -> tuple[str, ...]:
    """The task's label names, in the order of their integers.

    They are the recipe's ``task.labels``; else the names that the data carry; else, read from the
    training labels: 0 to C-1 where all are integers, names in alphabetical order otherwise.

    Args:
        values: the training labels.
        table: the training table.
        given: ``task.labels``.

    Raises:
        DataError: fewer than two labels are in use, the integers are not 0 to C-1, or there are
            so many different ones that they cannot be labels.
    """
    counts = Counter(values)
    if len(counts) < 2:
        raise DataError(
            f"{table.place}: all {len(values):,} rows have the label {next(iter(counts))!r}; "
            "there must be at least two to tell apart"
        )
    if given is not None:
        return tuple(given)
    if table.label_names is not None:
        return table.label_names
    if len(values) >= _MANY and len(counts) > len(values) // 2:
        raise DataError(
            f"{table.place}: {len(counts):,} different labels in {len(values):,} rows; is "
            "data.columns.label the right column?"
        )
    integers = {_integer(value) for value in counts}
    if None in integers:
        return tuple(sorted({str(value) for value in counts}))
    whole = sorted(value for value in integers if value is not None)
    if whole != list(range(len(whole))):
        shown = ", ".join(f'"{value}"' for value in whole[:12])
        dots = ", ..." if len(whole) > 12 else ""
        raise DataError(
            f"{table.place}: labels are the integers {shown.replace(chr(34), '')}{dots}, not 0 to "
            f"{len(whole) - 1}; name them in the recipe: task.labels: [{shown}{dots}]"
        )
    return tuple(str(value) for value in whole)


def carried_names(values: Sequence[Label], table: Table, labels: Sequence[str]) -> Sequence[Label]:
    """Labels with the integers of a table that carries names turned into those names.

    A recipe that names the same labels in another order is followed by name; one with other names
    renames them, integer by integer.

    Raises:
        DataError: the recipe renames the labels and has not as many of them.
    """
    own = table.label_names
    if own is None:
        return values
    if set(own) != set(labels):
        if len(own) != len(labels):
            raise DataError(
                f"{table.place}: the data's labels are {listed(own)}, but task.labels has "
                f"{listed(labels)}; leave task.labels out or write as many"
            )
        return values
    return [
        own[value] if isinstance(value, int) and 0 <= value < len(own) else value
        for value in values
    ]


def wrong_labels(
    values: Sequence[Label], table: Table, labels: Sequence[str], *, seen: set[int] | None
) -> dict[int, str]:
    """Rows whose label is not one of the task's.

    Args:
        values: labels: names, integers, or integers written as text.
        table: where they stand.
        labels: the task's label names.
        seen: the labels that stand in the training rows, where others are a mistake.

    Returns:
        What is wrong, by the row's index: an unknown name, an integer out of range, or a label
        that training never shows.
    """
    by_name = {name: index for index, name in enumerate(labels)}
    known: dict[Label, str | None] = {}
    found = {}
    for row, value in enumerate(carried_names(values, table, labels)):
        if value not in known:
            index = index_of(value, by_name)
            known[value] = index if isinstance(index, str) else None
            if isinstance(index, int) and seen is not None and index not in seen:
                known[value] = (
                    f"the label '{labels[index]}' has no row in the training data; a model cannot "
                    "learn it"
                )
        fault = known[value]
        if fault is not None:
            found[row] = fault
    return found


def to_integers(
    values: Sequence[Label], table: Table, labels: Sequence[str], *, seen: set[int] | None
) -> list[int]:
    """Each row's label as an index into ``labels``.

    Args:
        values: labels: names, integers, or integers written as text.
        table: where they stand, for errors.
        labels: the task's label names.
        seen: the labels that stand in the training rows, where others are a mistake.

    Raises:
        DataError: see :func:`wrong_labels`; the first one is told.
    """
    BadRows().sift(table, wrong_labels(values, table, labels, seen=seen))
    by_name = {name: index for index, name in enumerate(labels)}
    found: dict[Label, int] = {}
    for value in carried_names(values, table, labels):
        if value not in found:
            index = index_of(value, by_name)
            if isinstance(index, int):  # wrong ones were told above
                found[value] = index
    return [found[value] for value in carried_names(values, table, labels)]


def index_of(value: Label, by_name: dict[str, int]) -> int | str:
    """A label's index among the task's, or what is wrong with it."""
    index = by_name.get(str(value))
    if index is not None:
        return index
    integer = _integer(value)
    if integer is None:
        return (
            f"the label '{value}' is unknown; labels are {listed(by_name)}"
            f"{nearest(str(value), by_name)}"
        )
    if not 0 <= integer < len(by_name):
        return (
            f"the label {integer} is out of range; there are {len(by_name)} labels "
            f"({listed(by_name)}), so 0 to {len(by_name) - 1}"
        )
    return integer
