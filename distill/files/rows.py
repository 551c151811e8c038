"""Rows of CSV, TSV and JSON Lines, one at a time: one reading for training and prediction."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from distill.files.lines import Line, Lines
from distill.system.errors import DataError, listed

#: Kinds of files whose rows have columns.
CSV, TSV, JSONL = ".csv", ".tsv", ".jsonl"
#: What may part the fields of a ``.csv`` whose header has no comma.
_OTHER_DELIMITERS = ";\t|"
#: Longer than any text worth reading; the csv module's own limit is 131,072 characters.
_LONGEST_FIELD = 1 << 30


class FileRow(NamedTuple):
    """A row of a file."""

    line: int
    """The line on which it starts."""
    values: dict[str, Any]
    """By column; empty where the row could not be parsed."""
    text: str
    """Its lines as they stand."""
    issue: str | None = None
    """What is wrong with it."""


class Rows:
    """The rows of a table or of JSON lines, read as they are needed; blank lines are left out.

    A ``.csv`` file has a header and its fields may stand in double quotes; in a ``.tsv`` file
    quotes mean themselves, as in GLUE's files, where sentences open quotes that never close. Each
    row that cannot be parsed comes with what is wrong with it, so none is lost.

    Args:
        source: the file's path; ``-`` is standard input.
        kind: ``.csv``, ``.tsv`` or ``.jsonl``.
        wanted: the columns that are read, none of which may stand twice in a header.
        delimiter: what parts the fields of a table; left out, a tab in ``.tsv`` and a comma in
            ``.csv``, or what its header has instead (a semicolon, tab or bar).
        before_read: see :class:`~distill.files.lines.Lines`.

    Attributes:
        place: what errors call the file.
        columns: the header's names without blanks around them; of JSON lines the keys so far.
        note: what a reader of the results should know; empty where there is nothing.

    Raises:
        DataError: the file or its header cannot be used. Iterating raises it for what is wrong
            with the file as a whole.
    """

    def __init__(
        self,
        source: str | Path,
        kind: str,
        *,
        wanted: Sequence[str] = (),
        delimiter: str | None = None,
        before_read: Callable[[], None] | None = None,
    ) -> None:
        try:
            delimiter = None if delimiter is None else one_character(delimiter)
        except ValueError as error:
            raise DataError(f"{source}: the delimiter is {error}") from None
        self.lines = Lines(source, quoted=kind == CSV, before_read=before_read)
        self.place = self.lines.place
        self.columns: dict[str, None] = {}
        self.note = ""
        self._rows = self._objects() if kind == JSONL else self._table(kind, wanted, delimiter)
        if kind != JSONL:
            next(self._rows, None)  # reads the header

    def __iter__(self) -> Iterator[FileRow]:
        return self._rows

    def _objects(self) -> Iterator[FileRow]:
        for line in self.lines:
            if not line.text.strip():
                continue
            row = line.issue or _object(line.text)
            if isinstance(row, str):
                yield FileRow(line.number, {}, line.text, row)
            else:
                self.columns |= dict.fromkeys(row)
                yield FileRow(line.number, row, line.text)

    def _table(self, kind: str, wanted: Sequence[str], given: str | None) -> Iterator[FileRow]:
        """The header, with no values, and the rows."""
        lines = iter(self.lines)
        first = next((line for line in lines if line.issue or line.text.strip()), None)
        if first is None:
            raise DataError(f"{self.place}: the file is empty; its first line names the columns")
        delimiter = given or (self._delimiter(first.text, wanted) if kind == CSV else "\t")
        lines = itertools.chain([first], lines)
        split = _quoted_fields(lines, delimiter) if kind == CSV else _fields(lines, delimiter)
        header = next(split)
        if header.issue is not None:
            raise DataError(f"{self.place}:{header.line}: {header.issue}")
        names = [name.strip() for name in header.fields]
        if twice := sorted({name for name in wanted if names.count(name) > 1}):
            raise DataError(f"{self.place}:1: a column name occurs twice: {listed(twice)}")
        self.columns = dict.fromkeys(names)
        yield FileRow(header.line, {}, header.text)
        for row in split:
            if row.unclosed:
                raise DataError(f"{self.place}:{row.line}: {row.issue}")
            if row.issue is None and _is_blank(row.fields, names):
                continue
            issue = row.issue or _row_issue(row.fields, names)
            values = {} if issue else dict(zip(names, row.fields, strict=True))
            yield FileRow(row.line, values, row.text, issue)

    def _delimiter(self, header: str, wanted: Sequence[str]) -> str:
        bare = re.sub(r'"[^"]*"', "", header.strip("\r\n"))
        found = [sign for sign in _OTHER_DELIMITERS if sign in bare]
        if "," in bare or len(found) != 1 or bare.strip() in wanted:
            return ","
        self.note = (
            f"{self.place}: the header has no comma, so fields are separated by {found[0]!r}"
        )
        return found[0]


class _Split(NamedTuple):
    """A row's fields, before they are compared with the header."""

    line: int
    fields: list[str]
    text: str
    issue: str | None = None
    unclosed: bool = False
    """It may have swallowed the rows after it."""


def _fields(lines: Iterator[Line], delimiter: str) -> Iterator[_Split]:
    for line in lines:
        fields = line.content.split(delimiter) if line.content else []
        yield _Split(line.number, fields, line.text, line.issue)


def _quoted_fields(lines: Iterator[Line], delimiter: str) -> Iterator[_Split]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    taken: list[Line] = []

    def texts() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line.text

    reader = csv.reader(texts(), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        fields: list[str] = []
        issue = None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            issue = f"broken row: {error}"
            if "new-line character" in issue:
                issue = "broken row: a carriage return in a field without quotes"
        line = taken[0].number
        unclosed = issue is not None and ("end of data" in issue or len(taken) > 1)
        if unclosed and issue is not None:
            what = "never closes" if "end of data" in issue else f"swallows {len(taken)} lines"
            issue = f"broken row: a quote opened here {what}"
        issue = issue if unclosed else next((one.issue for one in taken if one.issue), issue)
        yield _Split(line, fields, "".join(one.text for one in taken), issue, unclosed)


def _is_blank(fields: list[str], names: list[str]) -> bool:
    """Whether a line stands between rows; of a single column `""` is a row with an empty text."""
    if len(fields) > 1:
        return False
    return not fields or (not fields[0].strip() and len(names) > 1)


def _row_issue(fields: list[str], names: list[str]) -> str | None:
    if len(fields) != len(names):
        count = f"{len(fields)} field{'s' * (len(fields) != 1)}"
        other = "; is it another delimiter?" if len(names) == 1 else ""
        return f"{count}, but the header has {len(names)} ({listed(names)}){other}"
    if [field.strip().removeprefix("\ufeff") for field in fields] == names:
        return "the header again; two files were joined with the header of each"
    return None


def _object(line: str) -> dict[str, Any] | str:
    """The object on a line, or what is wrong with it."""
    try:
        row = json.loads(line, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as error:
        return f"not JSON ({error.msg}, column {error.colno}); each line must be one object"
    except ValueError as error:
        return f"not JSON ({error}); each line must be one object"
    except RecursionError:
        return "JSON nested too deeply"
    if not isinstance(row, dict):
        example = '{"text": "...", "label": "..."}'
        return f"{type(row).__name__} instead of an object such as {example}"
    return row


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key '{twice}' occurs twice in an object")
    return row


def one_character(delimiter: str) -> str:
    """A delimiter as it is meant: a backslash and a ``t`` stand for a tab.

    Raises:
        ValueError: it separates no fields.
    """
    meant = "\t" if delimiter == r"\t" else delimiter
    if len(meant) != 1 or meant in '"\r\n':
        raise ValueError(f"{delimiter!r}; one character is expected")
    return meant


def file_kind(source: str | Path) -> str:
    """The ending of a file's name that says how it is read, such as ``.jsonl``, packed or not."""
    suffix = Path(Path(source).name.lower().removesuffix(".gz")).suffix
    return JSONL if suffix == ".ndjson" else suffix
