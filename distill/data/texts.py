"""What can be wrong with a row's text or id, told row by row."""

from __future__ import annotations

from typing import Any

from distill.data.sources.table import Table

#: What to do about a text that says nothing, for errors.
ADVICE = "every row needs a text, so mend or remove it"


def text_faults(table: Table, column: str, key: str) -> dict[int, str]:
    """Rows whose text is missing, empty, not text, or holds what is no character.

    Args:
        table: the rows.
        column: the column with the texts.
        key: the recipe key that chooses it, such as ``data.columns.text``.

    Returns:
        What is wrong, by the row's index.

    Raises:
        DataError: no such column.
    """
    found = {}
    for row, value in enumerate(table.column(column, key)):
        fault = text_fault(value)
        if fault is not None:
            found[row] = f"column '{column}' {fault}"
    return found


def text_fault(value: Any) -> str | None:
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


def id_faults(table: Table, column: str) -> dict[int, str]:
    """Rows without an id, or with that of a row before them.

    Args:
        table: the rows.
        column: ``data.columns.id``.

    Returns:
        What is wrong, by the row's index.

    Raises:
        DataError: no such column.
    """
    first: dict[Any, int] = {}
    found = {}
    for row, value in enumerate(table.column(column, "data.columns.id")):
        if value is None or value == "" or value != value:
            found[row] = f"the id is missing in column '{column}'"
        elif not isinstance(value, str | int | float):
            found[row] = f"the id is {type(value).__name__}; a name or a number is expected"
        elif (before := first.setdefault(value, row)) != row:
            found[row] = f"the id {value!r} stands twice, first at {table.at(before)}"
    return found
