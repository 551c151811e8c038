"""Rows of text from a file or standard input, one at a time: the file is never held in memory."""

from __future__ import annotations

import csv
import gzip
import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from distill.errors import DataError
from distill.runtime.encoding import is_unicode

#: Names under which a text column is found where none is named.
TEXT_COLUMNS = ("text", "sentence")
STDIN = "-"
_TABLES = (".jsonl", ".csv", ".tsv")
_CSV_LIMIT = 1 << 30


@dataclass(frozen=True)
class Row:
    """One input: its text and, for models of pairs, the second text."""

    text: str
    pair: str | None = None


def read_rows(
    source: str, *, column: str | None = None, pair_column: str | None = None
) -> Iterator[Row]:
    """Yield the rows of a file, lazily.

    ``.jsonl`` holds one JSON object a line; ``.csv`` and ``.tsv`` have a header; each may end in
    ``.gz``. Everything else, and standard input (``-``), holds one text a line, empty ones too;
    standard input is read as JSON lines where a column is named.

    Args:
        source: the file's path, or ``-``.
        column: the column with the text; left out, ``text`` or ``sentence``.
        pair_column: the column with the second text.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or has no such column; the message says
            in which line.
    """
    named = column is not None or pair_column is not None
    kind = _kind(source)
    if source == STDIN and named:
        kind = ".jsonl"
    if kind not in _TABLES and named:
        raise DataError(f"{source}: one text a line has no columns; use {', '.join(_TABLES)}")
    with _opened(source) as (file, name):
        if kind == ".jsonl":
            yield from _json_rows(file, name, column, pair_column)
        elif kind in (".csv", ".tsv"):
            yield from _table_rows(file, name, column, pair_column)
        else:
            for _, line in _lines(file, name):
                yield Row(line)


def _kind(source: str) -> str:
    path = Path(source)
    if path.suffix.lower() == ".gz":
        path = path.with_suffix("")
    suffix = path.suffix.lower()
    return ".jsonl" if suffix in (".json", ".ndjson") else suffix


@contextmanager
def _opened(source: str) -> Iterator[tuple[BinaryIO, str]]:
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


def _lines(file: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, without their ends."""
    for number, raw in enumerate(file, start=1):
        yield number, _decoded(raw, name, number).rstrip("\r\n")


def _decoded(raw: bytes, name: str, number: int) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{raw[error.start]:02x} at column {error.start + 1}"
        raise DataError(f"{name}:{number}: not UTF-8 ({found}); convert the file") from error


def _json_rows(
    file: BinaryIO, name: str, column: str | None, pair_column: str | None
) -> Iterator[Row]:
    for number, line in _lines(file, name):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: not JSON ({error.msg} at column {error.colno})") from error
        if not isinstance(row, dict):
            raise DataError(f'{where}: not a JSON object; write {{"text": "..."}}')
        yield _row(row, where, column, pair_column)


def _table_rows(
    file: BinaryIO, name: str, column: str | None, pair_column: str | None
) -> Iterator[Row]:
    # The csv module wants lines with their ends: a quoted field may hold one.
    texts = (_decoded(raw, name, number) for number, raw in enumerate(file, start=1))
    csv.field_size_limit(_CSV_LIMIT)
    delimiter = "\t" if _kind(name) == ".tsv" else ","
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise DataError(f"{name}: empty; the first line must name the columns")
        for cells in reader:
            if not cells:
                continue
            where = f"{name}:{reader.line_num}"
            if len(cells) != len(header):
                raise DataError(f"{where}: {len(cells)} cells under {len(header)} columns")
            yield _row(dict(zip(header, cells, strict=True)), where, column, pair_column)
    except csv.Error as error:
        raise DataError(f"{name}:{reader.line_num}: not readable ({error})") from error


def _row(row: dict[str, object], where: str, column: str | None, pair_column: str | None) -> Row:
    chosen = column or next((known for known in TEXT_COLUMNS if known in row), TEXT_COLUMNS[0])
    text = _cell(row, where, chosen, "--column")
    return Row(
        text, None if pair_column is None else _cell(row, where, pair_column, "--pair-column")
    )


def _cell(row: dict[str, object], where: str, column: str, option: str) -> str:
    if column not in row:
        there = ", ".join(row) or "none"
        raise DataError(f"{where}: no column '{column}'; there are: {there} (choose with {option})")
    value = row[column]
    if not isinstance(value, str):
        raise DataError(f"{where}: '{column}' is {json.dumps(value)}, not a text")
    if not is_unicode(value):
        raise DataError(f"{where}: '{column}' is not valid Unicode: {value!a}")
    return value
