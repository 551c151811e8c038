"""Parquet files and saved ``datasets`` folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from distill.data.bad_rows import BadRows
from distill.data.sources.columns import Column, mapped_columns
from distill.data.sources.table import Table
from distill.system.errors import DataError, listed

if TYPE_CHECKING:
    from datasets import Dataset

#: Names under which a split may stand in a saved ``DatasetDict``.
SPLIT_NAMES = {
    "train": ("train",),
    "validation": ("validation", "dev", "valid", "val"),
    "test": ("test",),
}


def read_parquet(path: Path, wanted: Sequence[str], bad: BadRows | None = None) -> Table:
    """Read the wanted columns of a Parquet file; label names come from ``datasets`` metadata.

    Args:
        path: the file.
        wanted: the columns to read.
        bad: not used: every row of a whole file can be parsed.

    Raises:
        DataError: not a Parquet file, or no rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            metadata = file.schema_arrow.metadata or {}
            present = [name for name in wanted if name in names]
            if twice := sorted({name for name in wanted if names.count(name) > 1}):
                raise DataError(f"{path}: a column name stands twice: {listed(twice)}")
            schema = pa.schema([file.schema_arrow.field(name) for name in present])
            columns = mapped_columns(schema, file.iter_batches(columns=present))
            rows = file.metadata.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        raise DataError(f"{path}: not a whole Parquet file ({what})") from error
    if rows == 0:
        raise DataError(f"{path}: no rows; it needs rows to learn from")
    return Table(str(path), columns, names, label_names=_parquet_labels(metadata, wanted))


def _parquet_labels(metadata: dict[bytes, bytes], wanted: Sequence[str]) -> tuple[str, ...] | None:
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        there = [features[name] for name in wanted if name in features]
        # Of a list of labels the names stand one level down.
        found = [one.get("names") or (one.get("feature") or {}).get("names") for one in there]
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    return next((tuple(names) for names in found if names), None)


def is_saved_dataset(folder: Path) -> bool:
    """Whether ``datasets`` saved this folder (a ``Dataset`` or a ``DatasetDict``)."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def saved_splits(folder: Path) -> list[str] | None:
    """The splits of a saved ``DatasetDict``, or ``None`` for a single ``Dataset``."""
    path = folder / "dataset_dict.json"
    if not path.is_file():
        return None
    try:
        return [str(name) for name in json.loads(path.read_text(encoding="utf-8"))["splits"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged; save the data set again") from error


def split_for(role: str, names: Sequence[str]) -> str | None:
    """The split that serves as ``train``, ``validation`` or ``test``, where there is one."""
    return next((name for name in SPLIT_NAMES[role] if name in names), None)


def read_saved(folder: Path, wanted: Sequence[str], role: str) -> Table:
    """Read a split of a saved ``datasets`` folder.

    Args:
        folder: a saved ``Dataset``, or a ``DatasetDict`` with a split for the role.
        wanted: the columns to read.
        role: ``train``, ``validation`` or ``test``.

    Raises:
        DataError: not such a folder, damaged, or without the split.
    """
    names = saved_splits(folder)
    if names is not None:
        chosen = split_for(role, names)
        if chosen is None:
            raise DataError(
                f"{folder}: no '{role}' split; splits are {listed(names)}; write the split's own "
                "folder, which lies in it"
            )
        folder = folder / chosen
    import datasets

    try:
        dataset = datasets.load_from_disk(str(folder))
    except Exception as error:  # whatever a damaged folder makes arrow or datasets raise
        what = " ".join(str(error).split())
        raise DataError(f"{folder}: not a whole saved data set ({what})") from error
    return from_dataset(dataset, str(folder), wanted)


def from_dataset(dataset: Dataset, place: str, wanted: Sequence[str]) -> Table:
    """Take the wanted columns out of a ``datasets.Dataset``.

    Raises:
        DataError: no rows.
    """
    if len(dataset) == 0:
        raise DataError(f"{place}: no rows; it needs rows to learn from")
    present = [name for name in wanted if name in dataset.column_names]
    # Where rows were chosen or shuffled, `datasets` holds their numbers beside the file.
    rows = (
        None if dataset._indices is None else dataset._indices.column(0).to_numpy().astype(np.int64)
    )
    columns = {name: Column(dataset.data.column(name), rows=rows) for name in present}
    features = [dataset.features[name] for name in present]
    # Of a list of labels the names stand one level down.
    found = [getattr(getattr(one, "feature", one), "names", None) for one in features]
    names = next((tuple(str(n) for n in labels) for labels in found if labels), None)
    return Table(place, columns, list(dataset.column_names), label_names=names)
