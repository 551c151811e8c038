"""CSV, TSV and JSON Lines as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.data.bad_rows import BadRows
from distill.data.sources.table import Table
from distill.errors import DataError
from distill.files.rows import JSONL, Rows, file_kind


def read_rows(
    path: Path, wanted: Sequence[str], bad: BadRows | None = None, *, delimiter: str | None = None
) -> Table:
    """Read the wanted columns of a ``.csv``, ``.tsv`` or ``.jsonl`` file, plain or ``.gz``.

    A key that a JSON object lacks is ``None``.

    Args:
        path: the file.
        wanted: the columns to read.
        bad: what to do with rows that cannot be parsed; left out, they are refused.
        delimiter: what parts the fields of a table; see :class:`~distill.files.rows.Rows`.

    Raises:
        DataError: no rows, or a row that cannot be parsed where bad rows are refused; and what
            :class:`~distill.files.rows.Rows` raises.
    """
    bad = bad or BadRows()
    kind = file_kind(path)
    rows = Rows(path, kind, wanted=wanted, delimiter=delimiter)
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    lines: list[int] = []
    for row in rows:
        if row.fault is not None:
            bad.add(str(path), f"{path}:{row.line}", row.fault, row.text)
            continue
        lines.append(row.line)
        for name, values in columns.items():
            values.append(row.values.get(name))
    if not lines and not bad.of(str(path)):
        what = "only blank lines" if kind == JSONL else "a header and no rows"
        raise DataError(f"{path}: {what}; it needs rows to learn from")
    there = {
        name: values
        for name, values in columns.items()
        if name in rows.columns or (kind == JSONL and not lines)
    }
    notes = (rows.note,) if rows.note else ()
    return Table(str(path), there, list(rows.columns), lines, notes=notes)
