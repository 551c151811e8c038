"""How many rows files hold and how long they are, told from a part of each: none is loaded.

Lines are counted up to a limit, and what is behind it is taken to be like what is before. A
parquet file tells its own numbers.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

#: Bytes that are read of a file, unpacked; 64 MB of a packed one take about half a second.
_READ = 1 << 26
_CHUNK = 1 << 20
#: Rows of a JSON lines file that their mean length is told from.
_LOOKED_AT = 500
#: Bytes before each text of a parquet column: its length.
_PREFIX = 4
_TABLES = (".csv", ".tsv", ".jsonl")
_TAGGED = (".conll", ".bio", ".iob", ".txt")


@dataclass(frozen=True)
class FileRows:
    """What is told of a file.

    Args:
        count: rows.
        characters: of an average row's texts.
    """

    count: int
    characters: float


@dataclass(frozen=True)
class _Lines:
    """Lines of a file: how many, those that are empty, their bytes, and the first ones."""

    count: int
    blank: int
    size: int
    start: bytes


def rows_of(path: Path, columns: Sequence[str], *, tagged: bool = False) -> FileRows | None:
    """Rows of a file, and the characters of some of their columns.

    Args:
        path: ``.csv``, ``.tsv`` or ``.jsonl`` (each optionally ``.gz``), ``.parquet``; CoNLL
            columns where rows are tagged.
        columns: the columns with text.
        tagged: whether rows are words with tags, which column files have one a line.

    Returns:
        ``None`` where the file is of another kind or cannot be read; its reader tells why.
    """
    kind = kind_of(path)
    if kind == ".parquet":
        return _parquet_rows(path, columns)
    if kind not in _TABLES and not (tagged and kind in _TAGGED):
        return None
    lines = _lines(path)
    if lines is None:
        return None
    if kind not in _TABLES:  # blank lines part the sentences, and half of a line is its tag
        count = max(1, lines.blank)
        return FileRows(count, lines.size / count / 2)
    if kind == ".jsonl":
        characters = _json_characters(lines.start, columns)
        return FileRows(lines.count, characters or lines.size / max(lines.count, 1))
    count = max(0, lines.count - 1)  # the first line names the columns
    return FileRows(count, lines.size / max(lines.count, 1))


def text_of(path: Path, column: str) -> float | None:
    """Characters of a file of unlabelled text: ``.txt`` or ``.jsonl``, each optionally ``.gz``.

    Args:
        path: the file.
        column: of JSON lines, the column with the text.
    """
    kind = kind_of(path)
    if kind == ".jsonl":
        rows = rows_of(path, [column])
        return None if rows is None else rows.count * rows.characters
    if kind != ".txt":
        return None
    if path.suffix.lower() != ".gz":
        return float(path.stat().st_size)
    lines = _lines(path)
    return None if lines is None else float(lines.size)


def kind_of(path: Path) -> str:
    """The ending of a file's name, such as ``.jsonl``, without that of its packing."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _lines(path: Path) -> _Lines | None:
    count = blank = size = 0
    start, last = b"", b"\n"
    try:
        with path.open("rb") as raw:
            packed = path.suffix.lower() == ".gz"
            file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw
            while size < _READ and (chunk := file.read(_CHUNK)):
                start = start or chunk
                count += chunk.count(b"\n")
                blank += (last + chunk).count(b"\n\n")
                size += len(chunk)
                last = chunk[-1:]
            at, whole = raw.tell(), path.stat().st_size
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    if size and last != b"\n":
        count += 1
    more = whole / at if size >= _READ and at < whole else 1.0
    return _Lines(round(count * more), round(blank * more), round(size * more), start)


def _parquet_rows(path: Path, columns: Sequence[str]) -> FileRows | None:
    from pyarrow import parquet  # half a second, which only plans of parquet files pay

    try:
        told = parquet.read_metadata(path)
    except (OSError, ValueError):  # its reader tells why
        return None
    if not told.num_rows:
        return None
    groups = (told.row_group(index) for index in range(told.num_row_groups))
    parts = (group.column(index) for group in groups for index in range(group.num_columns))
    size = sum(
        part.total_uncompressed_size
        for part in parts
        if part.path_in_schema.partition(".")[0] in columns
    )
    return FileRows(told.num_rows, max(0.0, size / told.num_rows - _PREFIX * len(columns)))


def _json_characters(start: bytes, columns: Sequence[str]) -> float | None:
    """Mean characters of the texts of a JSON lines file, told from rows of its beginning."""
    found: list[int] = []
    lines = start.splitlines()
    # Not the first ones: rows often stand in the order of where they come from.
    for line in lines[:: max(1, len(lines) // _LOOKED_AT)]:
        try:
            row = json.loads(line)
            found.append(sum(sum(_characters(row[name])) for name in columns))
        except (ValueError, LookupError, TypeError):
            continue  # the end of what was read, or told by the reader of the data
    return sum(found) / len(found) if found else None


def _characters(value: Any) -> Iterator[int]:
    """Characters of a text, or of words with a space behind each."""
    if isinstance(value, list):
        yield from (len(word) + 1 for word in value)
    else:
        yield len(value)
