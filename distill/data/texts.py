"""Columns of texts, each of which says something."""

from __future__ import annotations

from typing import Any

from distill.data.sources.table import Table
from distill.errors import DataError


def texts(table: Table, column: str, key: str) -> list[str]:
    """A column of texts.

    Args:
        table: the rows.
        column: the column's name.
        key: the recipe key that chooses it, for the error.

    Raises:
        DataError: no such column, or a text that is missing, empty, or not text.
    """
    values = table.column(column, key)
    faults = [row for row, value in enumerate(values) if text_fault(value) is not None]
    if faults:
        more = len(faults) - 1
        rest = f" (and {more:,} more row{'s' * (more > 1)})" if more else ""
        row = faults[0]
        raise DataError(
            f"{table.at(row)}: column '{column}' {text_fault(values[row])}{rest}; every row "
            "needs a text, so mend or remove it"
        )
    return values


def text_fault(value: Any) -> str | None:
    """What is wrong with a text; ``None`` where nothing is."""
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
    return f"holds {type(value).__name__} instead of text"
