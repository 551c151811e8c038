"""Examples with a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from distill.data.bad_rows import BadRows
from distill.data.reader import Tables, TextReader, as_number
from distill.data.sources.columns import stored
from distill.data.sources.table import Table


class NumberReader(TextReader):
    """Reads a number for each text."""

    def label_issues(self, table: Table) -> dict[int, str]:
        """Rows without a finite number within the bounds."""
        values = table.column(self.columns.label, "data.columns.label")
        issues = {row: self._issue(value) for row, value in enumerate(values)}
        return {row: issue for row, issue in issues.items() if issue is not None}

    def _issue(self, value: Any) -> str | None:
        number, column = as_number(value), self.columns.label
        if not math.isfinite(number):
            return (
                f"column '{column}' holds {value!r}; a regression needs a finite number in every "
                "row"
            )
        bounds = self.task.bounds
        if bounds is not None and not bounds[0] <= number <= bounds[1]:
            low, high = bounds
            return f"{number:g} in column '{column}' is not within task.bounds, {low:g} to {high:g}"
        return None

    def labels(
        self, tables: Tables, notes: list[str], bad: BadRows
    ) -> tuple[Tables, dict[str, Sequence[Any]], tuple[str, ...]]:
        column = self.columns.label
        numbers: dict[str, Sequence[Any]] = {
            role: stored(map(float, table.columns[column]), pa.float64())
            for role, table in tables.items()
        }
        return tables, numbers, ()


READER = NumberReader
