"""CSV, TSV and JSON Lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.data.sources.lines import read_lines
from distill.data.sources.table import Table, listed
from distill.errors import DataError

# Longer than any text worth reading; the csv module's own limit is 131,072.
_FIELD_LIMIT = 1 << 27


@contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def read_csv(path: Path, wanted: Sequence[str]) -> Table:
    """Read a comma-separated file with a header; fields in double quotes may hold line ends."""
    return _read_delimited(path, wanted, delimiter=",", quoting=csv.QUOTE_MINIMAL)


def read_tsv(path: Path, wanted: Sequence[str]) -> Table:
    """Read a tab-separated file with a header.

    Quotes mean themselves, as in GLUE's files: sentences there open quotes that never close, and
    read as CSV would swallow the lines after them.
    """
    return _read_delimited(path, wanted, delimiter="\t", quoting=csv.QUOTE_NONE)


def _read_delimited(path: Path, wanted: Sequence[str], *, delimiter: str, quoting: int) -> Table:
    """Read the wanted columns.

    Raises:
        DataError: no rows, a column name twice, a row with too few or too many fields, or broken
            quotes; and what :func:`read_lines` raises.
    """
    texts = (line for _, line in read_lines(path))
    with _long_fields():
        reader = csv.reader(texts, delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
        rows = _numbered(path, reader)
        _, header = next(rows, (0, []))
        names = [name.strip() for name in header]
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise DataError(f"{path}:1: a column name stands twice: {listed(twice)}")
        places = {name: names.index(name) for name in wanted if name in names}
        columns: dict[str, list[Any]] = {name: [] for name in places}
        lines: list[int] = []
        for line, row in rows:
            if len(row) != len(names):
                raise DataError(
                    f"{path}:{line}: {len(row)} fields, but the header has {len(names)} "
                    f"({listed(names)})"
                )
            lines.append(line)
            for name, place in places.items():
                columns[name].append(row[place])
    if not lines:
        raise DataError(f"{path}: a header and no rows; it needs rows to learn from")
    return Table(str(path), columns, names, lines)


def _numbered(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line each starts on; blank lines are left out."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            hint = "a quote opened here never closes" if "end of data" in str(error) else error
            raise DataError(f"{path}:{line}: broken row: {hint}") from None
        if row is None:
            return
        if row and not (len(row) == 1 and not row[0].strip()):
            yield line, row


def read_jsonl(path: Path, wanted: Sequence[str]) -> Table:
    """Read JSON Lines: one object a line; a key that an object lacks is ``None``; blank lines skip.

    Raises:
        DataError: no rows, or a line that is no JSON object; and what :func:`read_lines` raises.
    """
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    available: dict[str, None] = {}
    lines: list[int] = []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        row = _object(path, number, line)
        available |= dict.fromkeys(row)
        lines.append(number)
        for name, values in columns.items():
            values.append(row.get(name))
    if not lines:
        raise DataError(f"{path}: only blank lines; it needs rows to learn from")
    there = {name: values for name, values in columns.items() if name in available}
    return Table(str(path), there, list(available), lines)


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        column = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(
            f"{path}:{number}: not JSON ({what}{column}); each line must be one object"
        ) from None
    except RecursionError:
        raise DataError(f"{path}:{number}: JSON nested too deeply") from None
    if not isinstance(row, dict):
        raise DataError(
            f"{path}:{number}: {type(row).__name__} instead of an object such as "
            '{"text": "...", "label": "..."}'
        )
    return row
