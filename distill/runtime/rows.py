"""Rows of text from a file or standard input, one at a time: the file is never held in memory."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from distill.files.bad_rows import BadRow, BadRowError, is_unicode
from distill.files.lines import STDIN, Lines
from distill.files.parquet import PARQUET, ParquetRows
from distill.files.rows import CSV, JSONL, TSV, FileRow, Rows, file_kind
from distill.system.errors import DataError, listed, nearest

#: Names under which a text column is found where none is named.
TEXT_COLUMNS = ("text", "sentence")
#: The same of queries with lists of candidates.
QUERY, CANDIDATES = "query", "candidates"
_TABLES = (JSONL, CSV, TSV, PARQUET)
#: What training reads and a bundle does not: tags of words.
_TRAINING_ONLY = (".conll", ".bio", ".iob")


@dataclass(frozen=True)
class Row:
    """One input: its text, the second one or a query's candidates, and further columns by name."""

    text: str
    pair: str | list[str] | None = None
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What is read of a row."""

    column: str | None = None  # the column with the text; left out, ``text`` or ``sentence``
    pair_column: str | None = None  # the column with the second text
    keep: Sequence[str] = ()  # columns that it carries along
    # what parts the fields of a table; left out, its name and header tell
    delimiter: str | None = None
    # whether the second text is a list of candidates, in a table a JSON list
    candidates: bool = False

    def of_candidates(self) -> Wanted:
        """The same for queries with candidates, in columns of these names where none is named."""
        column, other = self.column or QUERY, self.pair_column or CANDIDATES
        return replace(self, column=column, pair_column=other, candidates=True)

    @property
    def named(self) -> list[str]:
        return [name for name in (self.column, self.pair_column, *self.keep) if name is not None]

    def text_column(self, columns: Collection[str]) -> str:
        if self.column is not None:
            return self.column
        return next((known for known in TEXT_COLUMNS if known in columns), TEXT_COLUMNS[0])

    def columns(self, there: Collection[str]) -> list[str]:
        """The columns that are read of a table; where ``there`` is empty, all it may have."""
        text: tuple[str, ...] = TEXT_COLUMNS if self.column is None else ()
        if there:
            text = tuple(name for name in text if name in there)[:1]
        return list(dict.fromkeys([*self.named, *text]))


def read_rows(
    source: str,
    wanted: Wanted = Wanted(),
    *,
    on_note: Callable[[str], None] = lambda _: None,
    before_read: Callable[[], None] | None = None,
) -> Iterator[Row]:
    """Yield the rows of a file, lazily; the first one that cannot be used is an error.

    Arguments are those of :func:`every_row`.

    Raises:
        DataError: the file cannot be read, or has no such column; the message says in which line.
        BadRowError: a row cannot be used.
    """
    for row in every_row(source, wanted, on_note=on_note, before_read=before_read):
        if isinstance(row, BadRow):
            raise BadRowError(f"{row.place}: {row.reason}")
        yield row


def every_row(
    source: str,
    wanted: Wanted,
    *,
    start: int = 0,
    on_note: Callable[[str], None] = lambda _: None,
    before_read: Callable[[], None] | None = None,
) -> Iterator[Row | BadRow]:
    """Yield the rows of a file, lazily, those too that cannot be used.

    ``.jsonl`` holds one JSON object a line; ``.csv`` and ``.tsv`` have a header; each may end in
    ``.gz``, and is read as for training; of ``.parquet`` a row group is read at a time, and only
    the columns that are wanted. Everything else, and standard input (``-``), holds one text a line,
    empty ones too; standard input is read as JSON lines where a column is named.

    Args:
        source: the file's path, or ``-``.
        wanted: what is read of a row.
        start: rows that are left out at the beginning.
        on_note: called with what a reader of the results should know about the file.
        before_read: called before more is read: standard input may have to be waited on.

    Raises:
        DataError: the file cannot be read, or has no such column.
    """
    kind = _kind(source, wanted)
    if kind not in _TABLES:
        lines = Lines(source, before_read=before_read)
        for line in itertools.islice(lines, start, None):
            if line.issue is None:
                yield Row(line.content)
            else:
                yield BadRow(f"{lines.place}:{line.number}", line.issue, line.content)
    elif kind == PARQUET:
        table = _table(source, wanted)
        for number, values in table.rows(wanted.columns(table.columns), start):
            yield _row(FileRow(number, values, ""), f"{source} row {number}", wanted)
    else:
        rows = Rows(
            source,
            kind,
            wanted=wanted.columns(()),
            delimiter=wanted.delimiter,
            before_read=before_read,
        )
        if rows.note:
            on_note(rows.note)
        if kind != JSONL and (absent := _absent(rows.columns, wanted)):
            raise DataError(f"{rows.place}:1: {absent}")
        for row in itertools.islice(rows, start, None):
            yield _row(row, f"{rows.place}:{row.line}", wanted)


def count_rows(source: str, wanted: Wanted) -> int:
    """How many examples :func:`every_row` yields for a file.

    Raises:
        DataError: see :func:`every_row`.
    """
    kind = _kind(source, wanted)
    if kind == PARQUET:
        return _table(source, wanted).count
    if kind in (CSV, TSV):
        return sum(1 for _ in every_row(source, wanted))
    return sum(1 for line in Lines(source) if kind != JSONL or line.text.strip())


def _table(source: str, wanted: Wanted) -> ParquetRows:
    table = ParquetRows(source)
    if absent := _absent(table.columns, wanted):
        raise DataError(f"{source}: {absent}")
    return table


def _kind(source: str, wanted: Wanted) -> str:
    kind = JSONL if source == STDIN and wanted.named else file_kind(source)
    kind = JSONL if kind == ".json" else kind
    if kind in _TRAINING_ONLY:
        raise DataError(
            f"{source}: {kind} files are read for training only; write the texts into a "
            f"{', '.join(_TABLES)} file, or one a line"
        )
    if kind not in _TABLES and (wanted.named or wanted.delimiter):
        raise DataError(f"{source}: one text a line has no columns; use {', '.join(_TABLES)}")
    return kind


def _absent(columns: Mapping[str, Any], wanted: Wanted) -> str | None:
    """Which wanted column is not there, and how to choose another."""
    named = [(wanted.text_column(columns), "--column"), (wanted.pair_column, "--pair-column")]
    for column, option in [*named, *((name, "--keep") for name in wanted.keep)]:
        if column is not None and column not in columns:
            return (
                f"no column '{column}'; columns are {listed(columns)}{nearest(column, columns)}; "
                f"choose one with {option}{' or fix --delimiter' * (len(columns) == 1)}"
            )
    return None


def _row(row: FileRow, place: str, wanted: Wanted) -> Row | BadRow:
    if row.issue is not None:
        return BadRow(place, row.issue, row.text.rstrip("\r\n"))
    values, column, other = row.values, wanted.text_column(row.values), wanted.pair_column
    try:
        texts = [values[name] for name in (column, other) if name is not None]
        kept = {name: values[name] for name in wanted.keep}
    except KeyError:
        return BadRow(place, _absent(values, wanted) or "", values)
    issues = [text_issue] * len(texts)
    if wanted.candidates and len(texts) > 1:
        texts[1], issues[1] = candidates_of(texts[1]), candidates_issue
    for name, text, of in zip((column, other), texts, issues, strict=False):
        if issue := of(text):
            return BadRow(place, f"'{name}' {issue}", values)
    return Row(texts[0], texts[1] if other is not None else None, kept)


def candidates_of(value: Any) -> Any:
    """The list that a cell of text, or an array, holds; the value where it holds none."""
    if hasattr(value, "tolist"):  # as engines hand it over
        return value.tolist()
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def candidates_issue(value: Any) -> str | None:
    """Why a value cannot be the candidates of a query."""
    if not isinstance(value, list) or not value:
        return f"is {json.dumps(value, default=str)[:60]}, not a list of candidates"
    found = (f"[{place}] {issue}" for place, one in enumerate(value) if (issue := text_issue(one)))
    return next(found, None)


def text_issue(value: Any) -> str | None:
    """Why a value cannot be a row's text."""
    if not isinstance(value, str):
        return f"is {json.dumps(value, default=str)}, not a text"
    if not is_unicode(value):
        return f"is not valid Unicode: {value!a}"
    return "holds a NUL character" if "\0" in value else None
