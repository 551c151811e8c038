"""Rows as they stand in their source, with the place of each, and what can be wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.data.sources.columns import take
from distill.system.errors import DataError, listed, nearest

#: What to do about a text that says nothing, for errors.
ADVICE = "every row needs a text, so fix or remove it"
_SHOWN = 60


@dataclass(frozen=True)
class Table:
    """Columns of one split."""

    place: str  # the file, or the name of the data set and split: how errors call it
    columns: Mapping[str, Sequence[Any]]  # the wanted columns that are there; all of one length
    available: Sequence[str]  # the names of all columns
    # the line on which each row starts, for files of text
    lines: Sequence[int] | npt.NDArray[np.int64] | None = None
    # names of the labels' integers where the data carry them
    label_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()  # what a reader of the results should know about these rows
    names: Sequence[str] | None = None  # what each row is called, where its line says less
    # the number from 0 that each row had, where some were taken out
    numbers: npt.NDArray[np.int64] | None = None
    # whether each word of a row has a line of its own, beginning with the row's
    word_lines: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def at(self, row: int, word: int | None = None) -> str:
        """The place of a row (from 0), to begin an error with, or of a word of it (from 0).

        That is ``file:line`` or the file and the row's name, else its number from 1.
        """
        if word is not None:
            if self.lines is not None and self.word_lines:
                return f"{self.place}:{self.lines[row] + word}"
            return f"{self.at(row)}, word {word + 1}"
        if self.names is not None:
            return f"{self.place}: {self.names[row]}"
        if self.lines is not None:
            return f"{self.place}:{self.lines[row]}"
        number = row if self.numbers is None else self.numbers[row]
        return f"{self.place} row {number + 1}"

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Table:
        """The rows with these indices, which keep their places."""
        rows = np.asarray(rows, dtype=np.int64)
        numbers = np.arange(len(self)) if self.numbers is None else self.numbers
        return replace(
            self,
            columns={name: take(values, rows) for name, values in self.columns.items()},
            lines=None if self.lines is None else np.asarray(self.lines)[rows],
            names=None if self.names is None else [self.names[row] for row in rows],
            numbers=numbers[rows],
        )

    def column(self, name: str, key: str) -> Sequence[Any]:
        """A column's values; ``key`` is the recipe's that chooses it, for the error.

        Raises:
            DataError: there is no such column.
        """
        if name in self.columns:
            return self.columns[name]
        other = ", or another data.delimiter" if len(self.available) == 1 else ""
        raise DataError(
            f"{self.place}: no column '{name}'; columns are {listed(self.available)}"
            f"{nearest(name, self.available)}; choose one with {key}{other}"
        )


def cell_list(value: Any) -> list[Any] | None:
    """The list that a cell holds, in a cell of text as JSON; ``None`` where it holds none."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return list(json.loads(value))
        except ValueError:
            return None
    return None


def shown(value: Any) -> str:
    """A cell's value in short, for errors."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def text_issues(table: Table, column: str, key: str) -> dict[int, str]:
    """Rows whose text is missing, empty, not text, or holds what is no character.

    Gives what is wrong, by the row's index; ``key`` is the recipe's that chooses the column.

    Raises:
        DataError: no such column.
    """
    found = {}
    for row, value in enumerate(table.column(column, key)):
        issue = text_issue(value)
        if issue is not None:
            found[row] = f"column '{column}' {issue}"
    return found


def text_issue(value: Any) -> str | None:
    """What is wrong with a value where a text is expected; ``None`` where nothing is."""
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
    if isinstance(value, float) and value != value:
        return "is missing (NaN)"
    return f"holds {type(value).__name__} instead of text"


def id_issues(table: Table, column: str) -> dict[int, str]:
    """Rows without an id, or with that of a row before them: what is wrong, by the row's index.

    Raises:
        DataError: no such column.
    """
    values = table.column(column, "data.columns.id")
    found = {}
    # Hashes stand for the ids: a set of ids would be large.
    keys = np.zeros(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        if value is None or value == "" or value != value:
            found[row] = f"the id is missing in column '{column}'"
        elif not isinstance(value, str | int | float):
            found[row] = f"the id is {type(value).__name__}; a name or a number is expected"
        else:
            keys[row] = hash(value)
    hashes, counts = np.unique(keys, return_counts=True)
    first: dict[Any, int] = {}
    for row in np.flatnonzero(np.isin(keys, hashes[counts > 1])).tolist():
        if row not in found and (before := first.setdefault(values[row], row)) != row:
            found[row] = f"the id {values[row]!r} occurs twice, first at {table.at(before)}"
    return found
