"""Rows from files: csv, tsv, jsonl, SQuAD json (optionally .gz), parquet, ``datasets`` folders."""

from __future__ import annotations

import io
import os
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.data.array_store import ArrayStore, ArrayWriter, open_store
from distill.data.bad_rows import BadRows
from distill.data.sources.columnar import (
    is_saved_dataset,
    named_files,
    read_parquet,
    read_saved,
    saved_splits,
    split_for,
)
from distill.data.sources.columns import ColumnWriter, text_columns
from distill.data.sources.conll import read_conll
from distill.data.sources.squad import read_squad
from distill.data.sources.table import Table
from distill.files.parquet import PARQUET
from distill.files.rows import CSV, JSONL, TSV, Rows, file_kind
from distill.recipe.schema import DataConfig
from distill.system import digest
from distill.system.errors import DataError, listed, nearest

#: Bytes from which the rows of a file stay in the cache.
_LARGE = 1 << 25
_VERSION = 1


def read_rows(
    path: Path, wanted: Sequence[str], bad: BadRows | None = None, *, delimiter: str | None = None
) -> Table:
    """Read the wanted columns of a ``.csv``, ``.tsv`` or ``.jsonl`` file, plain or ``.gz``.

    A key that a JSON object lacks is ``None``. Bad rows are refused where ``bad`` says nothing.

    Raises:
        DataError: no rows, or a row that cannot be parsed where bad rows are refused; and what
            :class:`~distill.files.rows.Rows` raises.
    """
    bad = bad or BadRows()
    lines: Sequence[int] | npt.NDArray[np.int64]
    if os.access(path, os.R_OK) and path.stat().st_size >= _LARGE:
        store = _kept(path, wanted, delimiter, bad)
        columns, lines, facts = text_columns(store["rows"]), store["lines"], store.facts
    else:
        writer, lines = ColumnWriter(wanted), array("q")
        facts = _parse(path, delimiter, bad, writer, lines)
        columns = writer.columns()
    there = {name: values for name, values in columns.items() if name in facts["there"]}
    return Table(str(path), there, facts["columns"], lines, notes=tuple(facts["notes"]))


def _parse(
    path: Path, delimiter: str | None, bad: BadRows, columns: ColumnWriter, lines: array[int]
) -> dict[str, Any]:
    """Read a file's rows into columns, and the line of each; returns what else a table has."""
    kind = file_kind(path)
    rows = Rows(path, kind, wanted=columns.names, delimiter=delimiter)
    for row in rows:
        if row.issue is not None:
            bad.add(str(path), f"{path}:{row.line}", row.issue, row.text)
            continue
        lines.append(row.line)
        columns.append(row.values)
    if not lines and not bad.of(str(path)):
        what = "only blank lines" if kind == JSONL else "a header and no rows"
        raise DataError(f"{path}: {what}; it needs examples to learn from")
    there = columns.names if kind == JSONL and not lines else list(rows.columns)
    notes = [rows.note] if rows.note else []
    return {"columns": list(rows.columns), "there": there, "notes": notes}


def _kept(path: Path, wanted: Sequence[str], delimiter: str | None, bad: BadRows) -> ArrayStore:
    """The rows of a large file from the cache, by its content; they are parsed where it is new."""

    def fill(writer: ArrayWriter) -> dict[str, Any]:
        own, lines = BadRows("skip" if bad.skips else "refuse"), array("q")
        columns = ColumnWriter(wanted, _Appended(writer))
        facts = _parse(path, delimiter, own, columns, lines)
        columns.close()
        writer.append(lines=lines)
        return facts | {"bad": [[one.place, one.reason, one.content] for one in own.rows]}

    given = [_VERSION, str(path), digest.of_file(path), list(wanted), delimiter]
    types = {"rows": "uint8", "lines": "int64"}
    store = open_store("rows", digest.of_json(given), types, name=path.name, fill=fill)
    for place, reason, content in store.facts["bad"]:
        bad.add(str(path), place, reason, content)
    return store


class _Appended(io.RawIOBase):
    """A file whose bytes go to the array ``rows``."""

    def __init__(self, writer: ArrayWriter) -> None:
        self._writer = writer

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._writer.append(rows=np.frombuffer(content, np.uint8))
        return len(content)


_Readers = dict[str, Callable[[Path, Sequence[str], BadRows | None], Table]]

#: By the kind of a file, each optionally packed (``.gz``).
_READERS: _Readers = {
    CSV: read_rows,
    TSV: read_rows,
    JSONL: read_rows,
    ".json": read_squad,
    PARQUET: read_parquet,
}
#: What rows of words with tags are read from beside those; ``.txt`` means nothing elsewhere.
_COLUMN_FILES: _Readers = dict.fromkeys((".conll", ".bio", ".iob", ".txt"), read_conll)


def read_files(
    data: DataConfig,
    wanted: Sequence[str],
    bad: BadRows | None = None,
    *,
    column_files: bool = False,
) -> dict[str, Table]:
    """Read the files that ``data.train``, ``data.validation`` and ``data.test`` name, by role.

    Where ``data.train`` is a saved ``DatasetDict``, its own validation and test splits are used for
    what the recipe leaves out. ``column_files`` says whether column files are read too: examples
    are words with tags.

    Raises:
        DataError: a file that is missing or cannot be used; the message says where and why.
    """
    if data.train is None:
        raise DataError("data.train: needed when data.source is files; write the file's path")
    chosen = named_files(data)
    paths = {role: Path(name).expanduser() for role, name in chosen.items() if name is not None}
    inside = saved_splits(paths["train"]) if paths["train"].is_dir() else None
    for role in ("validation", "test"):
        if inside is not None and role not in paths and split_for(role, inside) is not None:
            paths[role] = paths["train"]
    # All are looked up before any is read: a typing error in the last need not cost a long read.
    readers = _READERS | _COLUMN_FILES if column_files else _READERS
    readers = readers | dict.fromkeys((CSV, TSV), partial(read_rows, delimiter=data.delimiter))
    for role, path in paths.items():
        _check(role, path, readers)
    return {
        role: read_saved(path, wanted, role)
        if path.is_dir()
        else readers[file_kind(path)](path, wanted, bad)
        for role, path in paths.items()
    }


def _check(role: str, path: Path, readers: _Readers) -> None:
    if path.is_dir():
        if not is_saved_dataset(path):
            raise DataError(
                f"data.{role}: {path} is a folder, but not one that datasets saved "
                "(no dataset_dict.json or state.json); write the path of a file in it"
            )
        return
    if not path.is_file():
        raise DataError(f"data.{role}: no file {path}{_hint(path, readers)}")
    kind, packed = file_kind(path), path.suffix * (path.suffix.lower() == ".gz")
    if kind not in readers or (kind == PARQUET and packed):
        packable = ", ".join(known for known in readers if known != PARQUET)
        what = f"unknown kind of file '{kind}{packed}'" if kind else "a file name without an ending"
        raise DataError(
            f"data.{role}: {path}: {what}; known are {packable} "
            f"(each also .gz), {PARQUET} and datasets folders"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; it needs examples to learn from")


def _hint(path: Path, readers: _Readers) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"; there is no folder {folder} either"
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    like = nearest(path.name, names)
    if like:
        return like
    readable = [name for name in names if file_kind(name) in readers]
    return f"; data files there are {listed(readable)}" if readable else ""
