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
from distill.recipe.schema import Columns
from distill.tasks.regression.config import RegressionTask


class NumberReader(TextReader):
    """Reads a number for each text.

    Args:
        columns: which columns hold what.
        task: says which numbers there may be.
    """

    def __init__(self, columns: Columns, task: RegressionTask) -> None:
        super().__init__(columns)
        self.bounds = task.bounds

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
        if self.bounds is not None and not self.bounds[0] <= number <= self.bounds[1]:
            low, high = self.bounds
            return f"{number:g} in column '{column}' is not within task.bounds, {low:g} to {high:g}"
        return None

    def labels(
        self, tables: Tables, notes: list[str], bad: BadRows
    ) -> tuple[Tables, dict[str, Sequence[Any]], tuple[str, ...]]:
        """See :meth:`TextReader.labels`."""
        del notes, bad
        column = self.columns.label
        numbers: dict[str, Sequence[Any]] = {
            role: stored(map(float, table.columns[column]), pa.float64())
            for role, table in tables.items()
        }
        return tables, numbers, ()


READER = NumberReader
