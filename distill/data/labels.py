"""Label values, as data have them, to indices among a task's labels: one rule for every source."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from distill.data.reader import Reader
from distill.data.sources.table import Table
from distill.system.errors import DataError, listed, nearest

#: A label as data have it.
Label = str | int
#: GLUE's mark for a row whose label is kept back.
UNLABELLED = -1

_MANY = 50
_SHOWN = 6
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

    In ``known``, the recipe's ``task.labels``, ``nan`` may be a name.

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


def _as_integer(value: Label) -> int | None:
    """The integer that a value is: a number, or its plain decimal digits as text.

    ``01``, ``+1`` and ``1.0`` as text are names: they mean nothing but themselves.
    """
    if isinstance(value, int):
        return value
    return int(value) if _DIGITS.fullmatch(value) else None


def _looks_like_integer(name: str) -> bool:
    """Whether a person reads a name as an integer: also ``01``, ``+1`` and ``1.0``."""
    return _LIKE_DIGITS.fullmatch(name) is not None


def _label_names(
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
    integers = {_as_integer(value) for value in counts}
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
        number = _looks_like_integer(name)
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


class LabelIndex:
    """The index of each value of a table's labels among the task's labels.

    1. An integer of a table that carries names (``ClassLabel`` of ``datasets``) stands for the
       name it has there, whatever order the task's labels have.
    2. A value is the label that is written as it is: ``1`` and ``"1"`` are the label ``1``.
    3. Integers are positions in the order of the task's labels only where none of these looks
       like an integer and no other row of the table names its label; :attr:`note` says so.

    Everything else is a mistake; labels are never matched by position across differing names.

    Args:
        own: the names of the table's integers; left out, those that the table carries.
        what: what errors call a label.
        choices: what errors say can be written; left out, the labels.

    Attributes:
        note: a sentence for the person where integers are positions, else ``None``.

    Raises:
        DataError: rows have a label that the table carries a name for, and the task has no label
            of this name.

    Example:
        >>> table = Table("rows.csv", {"label": ["1", "0"]}, ["label"])
        >>> LabelIndex(["spam", "ham"], ["1", "0"], table).find("1")
        1
        >>> LabelIndex(["-1", "1"], ["1", "0"], table).find("0")
        "the label '0' is unknown; labels are '-1', '1'; these are names, not positions"
    """

    def __init__(
        self,
        labels: Sequence[str],
        values: Collection[Label],
        table: Table,
        *,
        own: Sequence[str] | None = None,
        what: str = "label",
        choices: str | None = None,
    ) -> None:
        self._by_name = {name: index for index, name in enumerate(labels)}
        self._own = table.label_names if own is None else tuple(own)
        self._what, self._choices = what, choices or f"{what}s are {listed(labels)}"
        different = {self._named(value) for value in values}
        self._numeric = any(_looks_like_integer(name) for name in labels)
        self._names = any(str(value) in self._by_name for value in different)
        self.note = self._position_note(different, labels, table)
        self._check_own(values, labels, table)

    def find(self, value: Label) -> int | str:
        """The index of a value's label, or what is wrong with the value."""
        if self._own and isinstance(value, int) and not 0 <= value < len(self._own):
            return self._outside(value, self._own)
        named = self._named(value)
        index = self._by_name.get(str(named))
        if index is not None:
            return index
        position = _as_integer(named)
        unknown = f"the {self._what} '{named}' is unknown; {self._choices}"
        if position is None:
            return f"{unknown}{nearest(str(named), self._by_name)}"
        if self._numeric:
            hint = "; these are names, not positions" if 0 <= position < len(self._by_name) else ""
            return f"{unknown}{hint}"
        if self._names:
            return f"{unknown}; other rows name theirs, so integers are not read as positions"
        if not 0 <= position < len(self._by_name):
            return self._outside(position, self._by_name)
        return position

    def _named(self, value: Label) -> Label:
        if self._own and isinstance(value, int) and 0 <= value < len(self._own):
            return self._own[value]
        return value

    def _outside(self, value: int, names: Collection[str]) -> str:
        return (
            f"the {self._what} {value} is out of range; there are {len(names)} {self._what}s "
            f"({listed(names)}), so 0 to {len(names) - 1}"
        )

    def _position_note(
        self, values: Collection[Label], labels: Sequence[str], table: Table
    ) -> str | None:
        if self._numeric or self._names or not any(_as_integer(one) is not None for one in values):
            return None
        shown = ", ".join(f"{index} is '{name}'" for index, name in enumerate(labels[:_SHOWN]))
        dots = ", ..." if len(labels) > _SHOWN else ""
        return f"{table.place}: integers are read as positions in the {self._what}s: {shown}{dots}"

    def _check_own(self, values: Collection[Label], labels: Sequence[str], table: Table) -> None:
        """Refuse a table as a whole whose names are not the task's: no row of it is wrong."""
        if not self._own:
            return
        used = {value for value in values if isinstance(value, int) and 0 <= value < len(self._own)}
        unknown = [self._own[value] for value in sorted(used) if isinstance(self.find(value), str)]
        if unknown:
            raise DataError(
                f"{table.place}: its {self._what}s are {listed(self._own)}, and the task's are "
                f"{listed(labels)}; '{unknown[0]}' is none of them"
                f"{nearest(unknown[0], labels)}; names are matched as they are written: rename "
                "them in the data or in task.labels"
            )


def index_labels(
    reader: Reader,
    tables: Mapping[str, Table],
    raw: Mapping[str, Sequence[Sequence[Label]]],
    *,
    unseen: bool,
) -> tuple[dict[str, Table], dict[str, Sequence[Any]], tuple[str, ...]]:
    """The indices of the labels of each row of every split.

    The reader's notes get sentences on integers, and on labels that training lacks.

    Args:
        reader: says which labels are known, and whether a row may have several, or none.
        tables: by role.
        raw: the labels of each row of them.
        unseen: whether splits may have labels that stand in no training example.

    Returns:
        The rows that are left, the index of each (of several labels a tuple of ascending ones), and
        the names of the labels.
    """
    bad, notes, several = reader.bad, reader.notes, reader.several
    values = {role: Counter(chain.from_iterable(rows)) for role, rows in raw.items()}
    labels = _label_names(values["train"], tables["train"], given=reader.known)
    left: dict[str, Table] = {}
    found: dict[str, Sequence[Any]] = {}
    seen: set[int] = set()
    for role in sorted(tables, key=lambda role: role != "train"):
        index = LabelIndex(labels, values[role], tables[role])
        known = {value: index.find(value) for value in values[role]}
        if role != "train" and not unseen:
            known = {value: _seen(one, seen, labels) for value, one in known.items()}
        if several:
            lists = (_indices(row, known) for row in raw[role])
            left[role], found[role] = bad.read(tables[role], lists, pa.list_(pa.int32()), tuple)
        else:
            ones = (known[value] for [value] in raw[role])
            left[role], found[role] = bad.read(tables[role], ones, pa.int32())
        notes += [index.note] if index.note else []
        if role == "train":
            seen = set(chain.from_iterable(found[role]) if several else found[role])
            notes += _unseen(left[role], labels, seen)
    return {role: left[role] for role in tables}, {role: found[role] for role in tables}, labels


def _seen(index: int | str, seen: set[int], labels: Sequence[str]) -> int | str:
    if isinstance(index, str) or index in seen:
        return index
    return (
        f"the label '{labels[index]}' has no example in the training data; a model cannot learn it"
    )


def _unseen(table: Table, labels: Sequence[str], seen: set[int]) -> list[str]:
    names = ", ".join(f"'{name}'" for index, name in enumerate(labels) if index not in seen)
    return [f"{table.place}: no example has the label {names}"] if names else []


def _indices(values: Sequence[Label], known: dict[Label, int | str]) -> list[int] | str:
    found: list[int] = []
    for value in values:
        index = known[value]
        if isinstance(index, str):
            return index
        if index in found:
            return f"the label '{value}' occurs twice in the row"
        found.append(index)
    return sorted(found)
