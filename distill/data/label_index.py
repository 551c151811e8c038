"""Which of a task's labels a value in the data means: one rule for every task and source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from distill.data.bad_rows import BadRows
from distill.data.labels import Label, as_integer, label_names, looks_like_integer
from distill.data.sources.table import Table
from distill.system.errors import DataError, listed, nearest

_SHOWN = 6


class LabelIndex:
    """The index of each value of a table's labels among the task's labels.

    1. An integer of a table that carries names (``ClassLabel`` of ``datasets``) stands for the
       name it has there, whatever order the task's labels have.
    2. A value is the label that is written as it is: ``1`` and ``"1"`` are the label ``1``.
    3. Integers are positions in the order of the task's labels only where none of these looks
       like an integer and no other row of the table names its label; :attr:`note` says so.

    Everything else is a mistake; labels are never matched by position across differing names.

    Args:
        labels: the task's label names in the order of their integers.
        values: all labels of the table.
        table: where they stand.
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
        self._numeric = any(looks_like_integer(name) for name in labels)
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
        position = as_integer(named)
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
        if self._numeric or self._names or not any(as_integer(one) is not None for one in values):
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
    tables: Mapping[str, Table],
    raw: Mapping[str, Sequence[Sequence[Label]]],
    given: Sequence[str] | None,
    notes: list[str],
    bad: BadRows,
    *,
    unseen: bool,
    several: bool,
) -> tuple[dict[str, Table], dict[str, Sequence[Any]], tuple[str, ...]]:
    """The indices of the labels of each row of every split.

    Args:
        tables: by role.
        raw: the labels of each row of them.
        given: ``task.labels``.
        notes: gets sentences on integers, and on labels that training lacks.
        bad: what to do with rows whose labels are not the task's.
        unseen: whether splits may have labels that stand in no training example.
        several: whether a row may have several labels, or none.

    Returns:
        The rows that are left, the index of each (of several labels a tuple of ascending ones), and
        the names of the labels.
    """
    values = {role: Counter(chain.from_iterable(rows)) for role, rows in raw.items()}
    labels = label_names(values["train"], tables["train"], given=given)
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
