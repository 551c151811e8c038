"""Rows of a data set on the Hugging Face hub, or of anything ``datasets.load_dataset`` takes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distill.data.sources.columnar import from_dataset, split_for
from distill.data.sources.files import named_files
from distill.data.sources.table import Table
from distill.recipe.schema import DataConfig
from distill.system.console import stderr
from distill.system.errors import DataError, listed, nearest
from distill.system.hub import unreachable

if TYPE_CHECKING:
    from datasets import DatasetDict

logger = logging.getLogger("distill")

_FILES = "or copy the rows to files and set data.source=files data.train=PATH"


def read_hub(data: DataConfig, wanted: Sequence[str]) -> dict[str, Table]:
    """Read the splits of a data set on the hub.

    ``data.train``, ``data.validation`` and ``data.test`` name splits; what is left out is found by
    its usual name (``train``; ``validation``, ``dev``; ``test``) where the data set has it.

    Args:
        data: the recipe's ``data`` section.
        wanted: the columns to read.

    Returns:
        A table for ``train`` and for each other split that is there.

    Raises:
        DataError: the hub cannot be reached, the data set, its subset or a split is not there.
    """
    splits = load_splits(data)
    chosen = named_files(data)
    tables = {}
    for role, name in chosen.items():
        split = name if name is not None else split_for(role, list(splits))
        if split is None and role != "train":
            continue
        if split is None or split not in splits:
            missing = split or role
            raise DataError(
                f"data.{role}: {data.path} has no split '{missing}'; splits are "
                f"{listed(splits)}{nearest(missing, splits)}"
            )
        tables[role] = from_dataset(splits[split], f"{data.path}:{split}", wanted)
    return tables


def load_splits(data: DataConfig) -> DatasetDict:
    """The data set that ``data.path`` names, all its splits, on this machine.

    Raises:
        DataError: the hub cannot be reached, or the data set or its subset is not there.
    """
    if data.path is None:
        raise DataError("data.path: needed when data.source is hub; write the data set's name")
    logger.info("asking the hub for '%s'", data.path)
    return _load(data.path, data.subset, data.revision)


def _load(path: str, subset: str | None, revision: str | None) -> DatasetDict:
    import datasets
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # The library that asks is another with each version of the hub's client; what it raises is the
    # base of the client's own error.
    asking = [kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"]
    unreachable: tuple[type[BaseException], ...] = (ConnectionError, OfflineModeIsEnabled)
    unreachable += (HfHubHTTPError, *asking)
    try:
        with _quiet(), _cache_alone(path):
            return datasets.load_dataset(path, subset, revision=revision)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise DataError(f"data.path: {_first_line(error)}; mend the name, {_FILES}") from error
    except unreachable as error:
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
