"""CSV, TSV and JSON Lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from distill.data.bad_rows import BadRows
from distill.data.sources.lines import Line, read_all_lines
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


def read_csv(path: Path, wanted: Sequence[str], bad: BadRows | None = None) -> Table:
    """Read a comma-separated file with a header; fields in double quotes may hold line ends."""
    return _read_delimited(path, wanted, bad or BadRows(), delimiter=",", quotes=True)


def read_tsv(path: Path, wanted: Sequence[str], bad: BadRows | None = None) -> Table:
    """Read a tab-separated file with a header.

    Quotes mean themselves, as in GLUE's files: sentences there open quotes that never close, and
    read as CSV would swallow the lines after them.
    """
    return _read_delimited(path, wanted, bad or BadRows(), delimiter="\t", quotes=False)


def _read_delimited(
    path: Path, wanted: Sequence[str], bad: BadRows, *, delimiter: str, quotes: bool
) -> Table:
    """Read the wanted columns; a row with too few or too many fields, or broken, is a bad one.

    Raises:
        DataError: no rows, a column name twice, a quote that never closes, a header that cannot be
            read, or a bad row where they are refused; and what :func:`read_all_lines` raises.
    """
    with _long_fields():
        rows = _delimited_rows(path, delimiter, csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
        header = next(rows, None)
        if header is not None and header.fault is not None:
            raise DataError(f"{path}:{header.line}: {header.fault}")
        names = [name.strip() for name in header.fields] if header is not None else []
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise DataError(f"{path}:1: a column name stands twice: {listed(twice)}")
        places = {name: names.index(name) for name in wanted if name in names}
        columns: dict[str, list[Any]] = {name: [] for name in places}
        lines: list[int] = []
        for row in rows:
            fault = row.fault
            if fault is None and len(row.fields) != len(names):
                fault = (
                    f"{len(row.fields)} fields, but the header has {len(names)} ({listed(names)})"
                )
            if fault is not None:
                bad.add(str(path), f"{path}:{row.line}", fault, row.text)
                continue
            lines.append(row.line)
            for name, place in places.items():
                columns[name].append(row.fields[place])
    if not lines and not bad.of(str(path)):
        raise DataError(f"{path}: a header and no rows; it needs rows to learn from")
    return Table(str(path), columns, names, lines)


class _Row(NamedTuple):
    """A row of a delimited file: the line it starts on, its fields, and its lines as they stand."""

    line: int
    fields: list[str]
    lines: list[Line]
    fault: str | None

    @property
    def text(self) -> str:
        return "".join(one.text for one in self.lines)


class _Tee:
    """Lines for the csv module, remembered until the row that they make is done."""

    def __init__(self, path: Path) -> None:
        self._lines = read_all_lines(path)
        self._taken: list[Line] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._taken.append(line)
            yield line.text

    def row(self) -> list[Line]:
        """The lines since the last call."""
        taken, self._taken = self._taken, []
        return taken


def _delimited_rows(path: Path, delimiter: str, quoting: int) -> Iterator[_Row]:
    """Rows with what is wrong with them; blank lines are left out."""
    tee = _Tee(path)
    reader = csv.reader(tee, delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
    while True:
        line = reader.line_num + 1
        fields: list[str] = []
        fault = None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error):  # which rows it swallowed cannot be told
                place = f"{path}:{line}"
                raise DataError(f"{place}: broken row: a quote opened here never closes") from None
            fault = f"broken row: {error}"
        taken = tee.row()
        fault = next((one.fault for one in taken if one.fault is not None), fault)
        if fault is not None or (fields and not (len(fields) == 1 and not fields[0].strip())):
            yield _Row(line, fields, taken, fault)


def read_jsonl(path: Path, wanted: Sequence[str], bad: BadRows | None = None) -> Table:
    """Read JSON Lines: one object a line; a key that an object lacks is ``None``; blank lines skip.

    Raises:
        DataError: no rows, or a line that is no JSON object where bad rows are refused; and what
            :func:`read_all_lines` raises.
    """
    bad = bad or BadRows()
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    available: dict[str, None] = {}
    lines: list[int] = []
    for line in read_all_lines(path):
        if not line.text.strip():
            continue
        row = line.fault or _object(line.text)
        if isinstance(row, str):
            bad.add(str(path), f"{path}:{line.number}", row, line.text)
            continue
        available |= dict.fromkeys(row)
        lines.append(line.number)
        for name, values in columns.items():
            values.append(row.get(name))
    if not lines and not bad.of(str(path)):
        raise DataError(f"{path}: only blank lines; it needs rows to learn from")
    there = {name: values for name, values in columns.items() if name in available or not lines}
    return Table(str(path), there, list(available), lines)


def _object(line: str) -> dict[str, Any] | str:
    """The object on a line, or what is wrong with it."""
    try:
        row = json.loads(line)
    except ValueError as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        column = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        return f"not JSON ({what}{column}); each line must be one object"
    except RecursionError:
        return "JSON nested too deeply"
    if not isinstance(row, dict):
        example = '{"text": "...", "label": "..."}'
        return f"{type(row).__name__} instead of an object such as {example}"
    return row
