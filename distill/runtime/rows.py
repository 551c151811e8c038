"""Rows of text from a file or standard input, one at a time: the file is never held in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from distill.files.bad_rows import BadRow, BadRowError, is_unicode
from distill.files.lines import STDIN, Lines
from distill.files.rows import CSV, JSONL, TSV, FileRow, Rows, file_kind
from distill.system.errors import DataError, listed, nearest

#: Names under which a text column is found where none is named.
TEXT_COLUMNS = ("text", "sentence")
_TABLES = (JSONL, CSV, TSV)
#: What training reads and a bundle does not: libraries that serving does without, tags of words.
_TRAINING_ONLY = (".parquet", ".conll", ".bio", ".iob")


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
class Wanted:
    """What is read of a row; see :func:`read_rows`."""

    column: str | None = None
    pair_column: str | None = None
    keep: Sequence[str] = ()
    delimiter: str | None = None
    before_read: Callable[[], None] | None = None

    @property
    def named(self) -> list[str]:
        """The columns that are asked for by name."""
        return [name for name in (self.column, self.pair_column, *self.keep) if name is not None]


def read_rows(
    source: str,
    *,
    column: str | None = None,
    pair_column: str | None = None,
    keep: Sequence[str] = (),
    delimiter: str | None = None,
    on_bad: Callable[[BadRow], None] | None = None,
    on_note: Callable[[str], None] = lambda _: None,
    before_read: Callable[[], None] | None = None,
) -> Iterator[Row]:
    """Yield the rows of a file, lazily.

    ``.jsonl`` holds one JSON object a line; ``.csv`` and ``.tsv`` have a header; each may end in
    ``.gz``, and is read as for training. Everything else, and standard input (``-``), holds one
    text a line, empty ones too; standard input is read as JSON lines where a column is named.

    Args:
        source: the file's path, or ``-``.
        column: the column with the text; left out, ``text`` or ``sentence``.
        pair_column: the column with the second text.
        keep: further columns that a row carries along.
        delimiter: what parts the fields of a table; left out, its name and header tell.
        on_bad: called with rows that cannot be used; left out, the first one is an error.
        on_note: called with what a reader of the results should know about the file.
        before_read: called before more is read: standard input may have to be waited on.

    Raises:
        DataError: the file cannot be read, or has no such column; the message says in which line.
        BadRowError: a row cannot be used, and ``on_bad`` is left out.
    """
    wanted = Wanted(column, pair_column, keep, delimiter, before_read)
    for row in _rows(source, wanted, on_note):
        if isinstance(row, Row):
            yield row
        elif on_bad is None:
            raise BadRowError(f"{row.place}: {row.reason}")
        else:
            on_bad(row)


def _rows(source: str, wanted: Wanted, on_note: Callable[[str], None]) -> Iterator[Row | BadRow]:
    kind = ".jsonl" if source == STDIN and wanted.named else file_kind(source)
    kind = JSONL if kind == ".json" else kind
    if kind in _TRAINING_ONLY:
        raise DataError(
            f"{source}: {kind} files are read for training only; write the texts into a "
            f"{', '.join(_TABLES)} file, or one a line"
        )
    if kind not in _TABLES and (wanted.named or wanted.delimiter):
        raise DataError(f"{source}: one text a line has no columns; use {', '.join(_TABLES)}")
    if kind not in _TABLES:
        lines = Lines(source, before_read=wanted.before_read)
        for line in lines:
            if line.issue is None:
                yield Row(line.content)
            else:
                yield BadRow(f"{lines.place}:{line.number}", line.issue, line.content)
        return
    names = [*wanted.named, *(TEXT_COLUMNS if wanted.column is None else ())]
    rows = Rows(
        source, kind, wanted=names, delimiter=wanted.delimiter, before_read=wanted.before_read
    )
    if rows.note:
        on_note(rows.note)
    if kind != JSONL and (absent := _absent(rows.columns, wanted)):
        raise DataError(f"{rows.place}:1: {absent}")
    for row in rows:
        yield _row(row, f"{rows.place}:{row.line}", wanted)


def _absent(columns: dict[str, Any], wanted: Wanted) -> str | None:
    """Which wanted column is not there, and how to choose another."""
    named = [(_text_column(columns, wanted), "--column"), (wanted.pair_column, "--pair-column")]
    for column, option in [*named, *((name, "--keep") for name in wanted.keep)]:
        if column is not None and column not in columns:
            return (
                f"no column '{column}'; columns are {listed(columns)}{nearest(column, columns)}; "
                f"choose one with {option}{' or fix --delimiter' * (len(columns) == 1)}"
            )
    return None


def _text_column(columns: dict[str, Any], wanted: Wanted) -> str:
    if wanted.column is not None:
        return wanted.column
    return next((known for known in TEXT_COLUMNS if known in columns), TEXT_COLUMNS[0])


def _row(row: FileRow, place: str, wanted: Wanted) -> Row | BadRow:
    if row.issue is not None:
        return BadRow(place, row.issue, row.text.rstrip("\r\n"))
    values, column, other = row.values, _text_column(row.values, wanted), wanted.pair_column
    try:
        texts = [values[name] for name in (column, other) if name is not None]
        kept = {name: values[name] for name in wanted.keep}
    except KeyError:
        return BadRow(place, _absent(values, wanted) or "", values)
    for name, text in zip((column, other), texts, strict=False):
        if issue := _text_issue(text):
            return BadRow(place, f"'{name}' {issue}", values)
    return Row(texts[0], texts[1] if other is not None else None, kept)


def _text_issue(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"is {json.dumps(value)}, not a text"
    if not is_unicode(value):
        return f"is not valid Unicode: {value!a}"
    return "holds a NUL character" if "\0" in value else None
