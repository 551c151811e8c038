"""Rows of text from a file or standard input, one at a time: the file is never held in memory."""

from __future__ import annotations

import csv
import gzip
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from distill.errors import DataError
from distill.runtime.encoding import is_unicode

#: Names under which a text column is found where none is named.
TEXT_COLUMNS = ("text", "sentence")
STDIN = "-"
_TABLES = (".jsonl", ".csv", ".tsv")
_CSV_LIMIT = 1 << 30


@dataclass(frozen=True)
class Row:
    """One input: its text and, for models of pairs, the second text.

    Args:
        text: the text.
        pair: the second text.
        kept: further columns, by name.
    """

    text: str
    pair: str | None = None
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BadRow:
    """A row that nothing can be predicted for.

    Args:
        place: ``file:line``.
        reason: what is wrong with it.
        content: the row: its columns, or its text where it could not be parsed.
    """

    place: str
    reason: str
    content: Any


class BadRowError(DataError):
    """A row that nothing can be predicted for, where nobody asked for such rows."""


@dataclass(frozen=True)
class Wanted:
    """What is read of a row.

    Args:
        column: the column with the text; ``None`` takes ``text`` or ``sentence``.
        pair_column: the column with the second text; ``None`` reads none.
        keep: further columns.
    """

    column: str | None = None
    pair_column: str | None = None
    keep: Sequence[str] = ()


def read_rows(
    source: str,
    *,
    column: str | None = None,
    pair_column: str | None = None,
    keep: Sequence[str] = (),
    on_bad: Callable[[BadRow], None] | None = None,
) -> Iterator[Row]:
    """Yield the rows of a file, lazily.

    ``.jsonl`` holds one JSON object a line; ``.csv`` and ``.tsv`` have a header; each may end in
    ``.gz``. Everything else, and standard input (``-``), holds one text a line, empty ones too;
    standard input is read as JSON lines where a column is named.

    Args:
        source: the file's path, or ``-``.
        column: the column with the text; left out, ``text`` or ``sentence``.
        pair_column: the column with the second text.
        keep: further columns that a row carries along.
        on_bad: called with rows that cannot be used; left out, the first one is an error.

    Raises:
        DataError: the file cannot be read, or has no such column; the message says in which line.
        BadRowError: a row cannot be used, and ``on_bad`` is left out.
    """
    wanted = Wanted(column, pair_column, keep)
    named = bool(column or pair_column or keep)
    kind = file_kind(source)
    if source == STDIN and named:
        kind = ".jsonl"
    if kind not in _TABLES and named:
        raise DataError(f"{source}: one text a line has no columns; use {', '.join(_TABLES)}")
    read = {".jsonl": _json_rows, ".csv": _table_rows, ".tsv": _table_rows}.get(kind, _text_rows)
    with opened(source) as (file, name):
        for row in read(file, name, wanted):
            if isinstance(row, Row):
                yield row
            elif on_bad is None:
                raise BadRowError(f"{row.place}: {row.reason}")
            else:
                on_bad(row)


def file_kind(source: str) -> str:
    """The ending of a file's name that says how it is read, such as ``.jsonl``."""
    path = Path(source)
    if path.suffix.lower() == ".gz":
        path = path.with_suffix("")
    suffix = path.suffix.lower()
    return ".jsonl" if suffix in (".json", ".ndjson") else suffix


@contextmanager
def opened(source: str) -> Iterator[tuple[BinaryIO, str]]:
    """A file's bytes, unpacked, and what to call it in errors.

    Raises:
        DataError: there is no such file, or it is a damaged gzip file.
    """
    if source == STDIN:
        yield sys.stdin.buffer, "standard input"
        return
    path = Path(source)
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise DataError(f"{source}: {what}")
    if path.suffix.lower() != ".gz":
        with path.open("rb") as file:
            yield file, source
        return
    with gzip.open(path, "rb") as unpacked:
        try:
            yield cast(BinaryIO, unpacked), source
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{source}: not a whole gzip file ({error})") from error


def _decoded(raw: bytes, number: int) -> tuple[str, str | None]:
    """A line, and what is wrong with it; others than UTF-8 bytes as their hex codes."""
    encoding = "utf-8-sig" if number == 1 else "utf-8"
    try:
        return raw.decode(encoding), None
    except UnicodeDecodeError as error:
        found = f"byte 0x{raw[error.start]:02x} at column {error.start + 1}"
        return raw.decode(encoding, "backslashreplace"), f"not UTF-8 ({found}); convert the file"


def _text_rows(file: BinaryIO, name: str, wanted: Wanted) -> Iterator[Row | BadRow]:
    for number, raw in enumerate(file, start=1):
        line, fault = _decoded(raw, number)
        text = line.rstrip("\r\n")
        yield Row(text) if fault is None else BadRow(f"{name}:{number}", fault, text)


def _json_rows(file: BinaryIO, name: str, wanted: Wanted) -> Iterator[Row | BadRow]:
    for number, raw in enumerate(file, start=1):
        line, fault = _decoded(raw, number)
        if not line.strip():
            continue
        where = f"{name}:{number}"
        row = fault or _object(line)
        if isinstance(row, str):
            yield BadRow(where, row, line.rstrip("\r\n"))
        else:
            yield _row(row, where, wanted)


def _object(line: str) -> dict[str, Any] | str:
    """The object on a line, or what is wrong with it."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return f"not JSON ({error.msg} at column {error.colno})"
    except (ValueError, RecursionError) as error:  # a number of a million digits; deep nesting
        return f"not JSON that can be read ({error})"
    return row if isinstance(row, dict) else 'not a JSON object; write {"text": "..."}'


class _Lines:
    """Lines for the csv module, with what is wrong with those of the row under way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._taken: list[str] = []
        self._fault: str | None = None

    def __iter__(self) -> Iterator[str]:
        for number, raw in enumerate(self._file, start=1):
            line, fault = _decoded(raw, number)
            self._taken.append(line)
            self._fault = self._fault or fault
            yield line

    def take(self) -> tuple[str, str | None]:
        """The lines since the last call, and the first fault in them."""
        taken, fault = "".join(self._taken), self._fault
        self._taken, self._fault = [], None
        return taken, fault


def _table_rows(file: BinaryIO, name: str, wanted: Wanted) -> Iterator[Row | BadRow]:
    csv.field_size_limit(_CSV_LIMIT)
    rows = _cells(file, name)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{name}: empty; the first line must name the columns")
    where, header, fault, _ = first
    if fault is not None:
        raise DataError(f"{where}: {fault}")
    looked = False
    for where, cells, fault, text in rows:
        if fault is None and not cells:
            continue
        if not looked:  # a column that is not there is missing from all rows
            looked = True
            if absent := _absent(dict.fromkeys(header), wanted):
                raise DataError(f"{where}: {absent}")
        if fault is None and len(cells) != len(header):
            fault = f"{len(cells)} cells under {len(header)} columns"
        if fault is not None:
            yield BadRow(where, fault, text.rstrip("\r\n"))
        else:
            yield _row(dict(zip(header, cells, strict=True)), where, wanted)


def _cells(file: BinaryIO, name: str) -> Iterator[tuple[str, list[str], str | None, str]]:
    """Place, cells, fault and lines of each row of a table, its header first."""
    lines = _Lines(file)
    delimiter = "\t" if file_kind(name) == ".tsv" else ","
    reader = csv.reader(lines, delimiter=delimiter, strict=True)  # type: ignore[arg-type]
    while True:
        cells: list[str] = []
        broken = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            broken = f"not readable ({error})"
            # What an open quote swallowed, up to the end of the file, are rows that nobody sees.
            if "end of data" in str(error):
                raise DataError(f"{name}:{reader.line_num}: {broken}") from error
        text, undecoded = lines.take()
        yield f"{name}:{reader.line_num}", cells, undecoded or broken, text


def _absent(row: dict[str, Any], wanted: Wanted) -> str | None:
    """Which wanted column a row has not, and how to choose another."""
    named = [(_text_column(row, wanted), "--column"), (wanted.pair_column, "--pair-column")]
    for column, option in [*named, *((name, "--keep") for name in wanted.keep)]:
        if column is not None and column not in row:
            there = ", ".join(row) or "none"
            return f"no column '{column}'; there are: {there} (choose with {option})"
    return None


def _text_column(row: dict[str, Any], wanted: Wanted) -> str:
    known = next((known for known in TEXT_COLUMNS if known in row), TEXT_COLUMNS[0])
    return wanted.column or known


def _row(row: dict[str, Any], where: str, wanted: Wanted) -> Row | BadRow:
    if absent := _absent(row, wanted):
        return BadRow(where, absent, row)
    column = _text_column(row, wanted)
    for name in (column, wanted.pair_column):
        if name is None:
            continue
        if not isinstance(row[name], str):
            return BadRow(where, f"'{name}' is {json.dumps(row[name])}, not a text", row)
        if not is_unicode(row[name]):
            return BadRow(where, f"'{name}' is not valid Unicode: {row[name]!a}", row)
    pair = None if wanted.pair_column is None else row[wanted.pair_column]
    return Row(row[column], pair, {name: row[name] for name in wanted.keep})
