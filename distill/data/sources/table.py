"""Rows as they were found, before anything is made of them, with the place of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from distill.errors import DataError, listed, nearest


@dataclass(frozen=True)
class Table:
    """Columns of one split.

    Args:
        place: the file, or the name of the data set and split: how errors call it.
        columns: the wanted columns that are there; all of one length.
        available: the names of all columns.
        lines: the line on which each row starts, for files of text.
        label_names: names of the labels' integers where the data carry them.
        notes: what a reader of the results should know about these rows.
        names: what each row is called, where its line says less.
        numbers: the number from 0 that each row had, where some were taken out.
        word_lines: whether each word of a row has a line of its own, beginning with the row's.
    """

    place: str
    columns: dict[str, list[Any]]
    available: Sequence[str]
    lines: Sequence[int] | None = None
    label_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    names: Sequence[str] | None = None
    numbers: Sequence[int] | None = None
    word_lines: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def at(self, row: int, word: int | None = None) -> str:
        """The place of a row, to begin an error with.

        That is ``file:line`` or the file and the row's name, else its number from 1.

        Args:
            row: the row's number from 0.
            word: a word of it, by its number from 0, where a row is a list of words.
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

    def take(self, rows: Sequence[int]) -> Table:
        """The rows with these indices, which keep their places."""
        numbers = range(len(self)) if self.numbers is None else self.numbers
        return replace(
            self,
            columns={name: [values[row] for row in rows] for name, values in self.columns.items()},
            lines=None if self.lines is None else [self.lines[row] for row in rows],
            names=None if self.names is None else [self.names[row] for row in rows],
            numbers=[numbers[row] for row in rows],
        )

    def column(self, name: str, key: str) -> list[Any]:
        """A column's values.

        Args:
            name: the column.
            key: the recipe key that chooses it, for the error.

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
