"""Label values, as data have them, to integers."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from distill.data.sources.table import Table
from distill.system.errors import DataError

#: A label as data have it.
Label = str | int
#: GLUE's mark for a row whose label is kept back.
UNLABELLED = -1

_MANY = 50
_DIGITS = re.compile("0|-?[1-9][0-9]*")
_LIKE_DIGITS = re.compile(r"[+-]?\d+(\.0*)?")


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


def label_issues(
    table: Table, column: str, *, known: Sequence[str] | None = None
) -> dict[int, str]:
    """Rows whose label is missing, or neither name nor integer: what is wrong, by index.

    Args:
        table: the rows.
        column: the column with the labels.
        known: ``task.labels``, where the recipe has it: there ``nan`` may be a name.

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


def is_unlabelled(table: Table, column: str, *, known: Sequence[str] | None = None) -> bool:
    """Whether no row of a split has a label: no such column, or nothing but -1 or gaps.

    Where ``known``, the recipe's ``task.labels``, has ``-1``, that is a name.
    """
    values = table.columns.get(column)
    unlabelled = str(UNLABELLED) not in (known or ())
    return values is None or all(_is_gap(value, unlabelled) for value in values)


def _is_gap(value: Any, unlabelled: bool) -> bool:
    # A list holds the tags of words; an empty one may say that a row has none of several labels.
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(_is_gap(one, unlabelled) for one in value)
    if value is None or value != value or value == "":
        return True
    return unlabelled and value in (UNLABELLED, str(UNLABELLED))


def as_integer(value: Label) -> int | None:
    """The integer that a value is: a number, or its plain decimal digits as text.

    ``01``, ``+1`` and ``1.0`` as text are names: they mean nothing but themselves.
    """
    if isinstance(value, int):
        return value
    return int(value) if _DIGITS.fullmatch(value) else None


def looks_like_integer(name: str) -> bool:
    """Whether a person reads a name as an integer: also ``01``, ``+1`` and ``1.0``."""
    return _LIKE_DIGITS.fullmatch(name) is not None


def label_names(
    counts: Counter[Label], table: Table, *, given: Sequence[str] | None
) -> tuple[str, ...]:
    """The task's label names, in the order of their integers.

    They are ``given``, the recipe's ``task.labels``; else the names that the data carry; else, read
    from the training labels: 0 to C-1 where all are integers, names in alphabetical order
    otherwise.

    Raises:
        DataError: fewer than two labels are in use, the integers are not 0 to C-1, or there are
            so many different ones that they cannot be labels.
    """
    total = counts.total()
    if len(counts) < 2:
        raise DataError(
            f"{table.place}: all {total:,} examples have the label {next(iter(counts))!r}; "
            "there must be at least two to tell apart"
        )
    if given is not None:
        return tuple(given)
    if table.label_names is not None:
        return table.label_names
    if total >= _MANY and len(counts) > total // 2:
        raise DataError(
            f"{table.place}: {len(counts):,} different labels in {total:,} examples; is "
            "data.columns.label the right column?"
        )
    integers = {as_integer(value) for value in counts}
    if None in integers:
        names = sorted({str(value) for value in counts})
        _check_spelling(names, table)
        return tuple(names)
    whole = sorted(value for value in integers if value is not None)
    if whole != list(range(len(whole))):
        shown = ", ".join(f'"{value}"' for value in whole[:12])
        dots = ", ..." if len(whole) > 12 else ""
        raise DataError(
            f"{table.place}: labels are the integers {shown.replace(chr(34), '')}{dots}, not 0 to "
            f"{len(whole) - 1}; name them in the recipe: task.labels: [{shown}{dots}]"
        )
    return tuple(str(value) for value in whole)


def _check_spelling(names: Sequence[str], table: Table) -> None:
    """Refuse names that a person reads as one: they would be learned as two labels."""
    spelled: dict[float | str, str] = {}
    for name in names:
        number = looks_like_integer(name)
        alike = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        other = spelled.setdefault(float(name) if number else alike, name)
        if other != name:
            shown = f"the labels {_shown(other)} and {_shown(name)}"
            why = "are one integer, written in two ways" if number else "read as one"
            raise DataError(
                f"{table.place}: {shown} {why}; write them alike, or name both in task.labels"
            )


def _shown(name: str) -> str:
    plain = unicodedata.is_normalized("NFKC", name) and name.isprintable()
    return f"'{name}'" if plain else ascii(name)
