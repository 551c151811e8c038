"""Examples with any number of labels."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from distill.data.bad_rows import BadRows
from distill.data.label_index import index_labels
from distill.data.labels import Label, clean
from distill.data.reader import Tables, TextReader
from distill.data.sources.columns import mapped
from distill.data.sources.table import Table
from distill.system.errors import DataError


class MultiLabelReader(TextReader):
    """Reads any number of labels for each text, as ascending indices."""

    several: ClassVar[bool] = True

    def label_issues(self, table: Table) -> dict[int, str]:
        """Rows whose labels are missing, or no list of names."""
        cells = enumerate(self._cells(table))
        return {row: issue for row, issue in cells if isinstance(issue, str)}

    def labels(
        self, tables: Tables, notes: list[str], bad: BadRows
    ) -> tuple[Tables, dict[str, Sequence[Any]], tuple[str, ...]]:
        raw = {role: self._cells(table) for role, table in tables.items()}
        train = tables["train"]
        if not any(raw["train"]):
            raise DataError(f"{train.place}: no example has a label in '{self.columns.label}'")
        return index_labels(tables, raw, self.known, notes, bad, unseen=True, several=True)

    def _cells(self, table: Table) -> Sequence[Any]:
        """Of each row its labels, or what is wrong with the cell."""
        separator, column = self.columns.separator, self.columns.label
        values = table.column(column, "data.columns.label")
        return mapped(values, lambda value: _labels(value, separator, column))


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
