"""Rows from files: csv, tsv, jsonl, SQuAD json (optionally .gz), parquet, ``datasets`` folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from distill.data.bad_rows import BadRows
from distill.data.sources.columnar import (
    is_saved_dataset,
    read_parquet,
    read_saved,
    saved_splits,
    split_for,
)
from distill.data.sources.conll import read_conll
from distill.data.sources.squad import read_squad
from distill.data.sources.table import Table, listed, nearest
from distill.data.sources.text_files import read_csv, read_jsonl, read_tsv
from distill.errors import DataError
from distill.recipe.schema import DataConfig

_Readers = dict[str, Callable[[Path, Sequence[str], BadRows | None], Table]]

_READERS: _Readers = {
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".tsv": read_tsv,
    ".tsv.gz": read_tsv,
    ".json": read_squad,
    ".json.gz": read_squad,
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_jsonl,
    ".parquet": read_parquet,
}
#: What rows of words with tags are read from beside those; ``.txt`` means nothing elsewhere.
_COLUMN_FILES: _Readers = {
    f"{ending}{packed}": read_conll
    for ending in (".conll", ".bio", ".iob", ".txt")
    for packed in ("", ".gz")
}


#: What the roles of further rows begin with.
MORE = "more."


def read_files(
    data: DataConfig,
    wanted: Sequence[str],
    base: Path | None,
    bad: BadRows | None = None,
    *,
    tagged: bool = False,
) -> dict[str, Table]:
    """Read the files that ``data.train``, ``data.validation`` and ``data.test`` name.

    Where ``data.train`` is a saved ``DatasetDict``, its own validation and test splits are used
    for what the recipe leaves out.

    Args:
        data: the recipe's ``data`` section.
        wanted: the columns to read.
        base: the folder that relative paths start from; ``None`` is the current one.
        bad: told of rows that cannot be parsed; left out, they are refused.
        tagged: whether rows are words with tags, which column files have too.

    Returns:
        A table for ``train`` and for each other split that is there.

    Raises:
        DataError: a file that is missing or cannot be used; the message says where and why.
    """
    if data.train is None:
        raise DataError("data.train: needed when data.source is files; write the file's path")
    chosen = named_files(data)
    paths = {role: _resolve(name, base) for role, name in chosen.items() if name is not None}
    inside = saved_splits(paths["train"]) if paths["train"].is_dir() else None
    for role in ("validation", "test"):
        if inside is not None and role not in paths and split_for(role, inside) is not None:
            paths[role] = paths["train"]
    # All are looked up before any is read: a typing error in the last need not cost a long read.
    readers = _READERS | _COLUMN_FILES if tagged else _READERS
    for role, path in paths.items():
        _check(role, path, readers)
    return {role: _read(role, path, wanted, bad, readers) for role, path in paths.items()}


def named_files(data: DataConfig) -> dict[str, str | None]:
    """What ``data.train``, ``data.validation`` and ``data.test`` say, each one name.

    Raises:
        DataError: a list, which only unlabelled text may have.
    """
    found: dict[str, str | None] = {}
    for role, name in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        if isinstance(name, list):
            raise DataError(f"data.{role}: a list of files is for task.kind: text; name one file")
        found[role] = name
    return found | {MORE + name: path for name, path in data.more.items()}


def _resolve(name: str, base: Path | None) -> Path:
    path = Path(name).expanduser()
    return path if base is None else base / path


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return "".join(suffixes if suffixes[-1:] == [".gz"] else suffixes[-1:])


def _check(role: str, path: Path, readers: _Readers) -> None:
    """Refuse a path that cannot be read, before anything is."""
    if path.is_dir():
        if not is_saved_dataset(path):
            raise DataError(
                f"data.{role}: {path} is a folder, but not one that datasets saved "
                "(no dataset_dict.json or state.json); write the path of a file in it"
            )
        return
    if not path.is_file():
        raise DataError(f"data.{role}: no file {path}{_hint(path, readers)}")
    kind = _kind(path)
    if kind not in readers:
        known = ", ".join(readers)
        what = f"unknown kind of file '{kind}'" if kind else "a file name without an ending"
        raise DataError(f"data.{role}: {path}: {what}; known are {known} and datasets folders")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; it needs rows to learn from")


def _hint(path: Path, readers: _Readers) -> str:
    """What the person may have meant by a path that is not there."""
    folder = path.parent
    if not folder.is_dir():
        return f"; there is no folder {folder} either"
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    like = nearest(path.name, names)
    if like:
        return like
    readable = [name for name in names if _kind(Path(name)) in readers]
    return f"; data files there are {listed(readable)}" if readable else ""


def _read(
    role: str, path: Path, wanted: Sequence[str], bad: BadRows | None, readers: _Readers
) -> Table:
    if path.is_dir():
        return read_saved(path, wanted, role)
    return readers[_kind(path)](path, wanted, bad)
