"""What Arrow and ``datasets`` read: Parquet files, saved data sets, and those on the hub."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from distill.data.bad_rows import BadRows
from distill.data.sources.columns import Column, mapped_columns
from distill.data.sources.table import Table
from distill.files.parquet import opened_parquet
from distill.recipe.schema import DataConfig
from distill.system.console import stderr
from distill.system.errors import DataError, listed, nearest
from distill.system.hub import unreachable

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

logger = logging.getLogger("distill")

_FILES = "or copy the rows to files and set data.source=files data.train=PATH"
#: What the roles of further rows begin with.
MORE = "more."
#: Names under which a split may stand in a saved ``DatasetDict``.
SPLIT_NAMES = {
    "train": ("train",),
    "validation": ("validation", "dev", "valid", "val"),
    "test": ("test",),
}


def read_parquet(path: Path, wanted: Sequence[str], bad: BadRows | None = None) -> Table:
    """Read the wanted columns of a Parquet file; label names come from ``datasets`` metadata.

    Raises:
        DataError: not a Parquet file, or no rows.
    """
    with opened_parquet(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
        names = list(schema.names)
        if twice := sorted({name for name in wanted if names.count(name) > 1}):
            raise DataError(f"{path}: a column name occurs twice: {listed(twice)}")
        present = [name for name in wanted if name in names]
        kept = pa.schema([schema.field(name) for name in present])
        columns = mapped_columns(kept, file.iter_batches(columns=present))
    if rows == 0:
        raise DataError(f"{path}: no rows; it needs examples to learn from")
    return Table(
        str(path), columns, names, label_names=_parquet_labels(schema.metadata or {}, wanted)
    )


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
    """Read the split that serves a role of a folder that ``datasets`` saved.

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
        raise DataError(f"{place}: no rows; it needs examples to learn from")
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


def read_hub(data: DataConfig, wanted: Sequence[str]) -> dict[str, Table]:
    """Read the splits of a data set on the hub: ``train`` and each other one that is there.

    ``data.train``, ``data.validation`` and ``data.test`` name splits; what is left out is found by
    its usual name (``train``; ``validation``, ``dev``; ``test``) where the data set has it.

    Raises:
        DataError: the hub cannot be reached, the data set, its subset or a split is not there.
    """
    found = chosen_splits(data, named_files(data))
    return {role: from_dataset(rows, place, wanted) for role, (place, rows) in found.items()}


def chosen_splits(
    data: DataConfig, names: Mapping[str, str | None]
) -> dict[str, tuple[str, Dataset]]:
    """The splits of a data set on the hub by role, each with what errors call it.

    Raises:
        DataError: see :func:`read_hub`.
    """
    splits = load_splits(data)
    found = {}
    for role, name in names.items():
        split = name if name is not None else split_for(role, list(splits))
        if split is None and role != "train":
            continue
        if split is None or split not in splits:
            missing = split or role
            raise DataError(
                f"data.{role}: {data.path} has no split '{missing}'; splits are "
                f"{listed(splits)}{nearest(missing, splits)}"
            )
        found[role] = f"{data.path}:{split}", splits[split]
    return found


def load_splits(data: DataConfig) -> DatasetDict:
    """The data set that ``data.path`` names, all its splits, on this machine.

    Raises:
        DataError: the hub cannot be reached, or the data set or its subset is not there.
    """
    if data.path is None:
        raise DataError("data.path: needed when data.source is hub; write the data set's name")
    import datasets
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    path = data.path
    logger.info("asking the hub for '%s'", path)
    # The library that asks is another with each version of the hub's client; what it raises is the
    # base of the client's own error.
    asking = [kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"]
    no_hub: tuple[type[BaseException], ...]
    no_hub = (ConnectionError, OfflineModeIsEnabled, HfHubHTTPError, *asking)
    try:
        with _quiet(), _cache_alone(path):
            return datasets.load_dataset(path, data.subset, revision=data.revision)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise DataError(f"data.path: {_first_line(error)}; fix the name, {_FILES}") from error
    except no_hub as error:
        raise DataError(
            f"data.path: the hub cannot be reached for '{path}'; try again with a network, {_FILES}"
        ) from error
    except (ValueError, OSError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"data.path: {path}: {_first_line(error)}") from error


@contextmanager
def _cache_alone(path: str) -> Iterator[None]:
    """Where the hub cannot be reached, ask the cache at once and not the hub for a minute."""
    import datasets
    from huggingface_hub import constants

    if Path(path).exists() or unreachable() is None:
        yield
        return
    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back the hub client's retry warnings and, off a terminal, the progress bars."""
    import datasets

    log = logging.getLogger("huggingface_hub")
    level, bars = log.level, not datasets.utils.are_progress_bars_disabled()
    log.setLevel(logging.ERROR)
    if not stderr.is_terminal:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        log.setLevel(level)
        if bars:
            datasets.enable_progress_bars()


def _first_line(error: Exception) -> str:
    """What went wrong; a cause says it better than the error that wraps it."""
    text = str(error.__cause__ or error).strip()
    return text.splitlines()[0].rstrip(". ") if text else type(error).__name__
