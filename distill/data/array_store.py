"""Flat arrays in the cache: filled once for a key, checked when opened, then memory-mapped."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.system import digest
from distill.system.atomic import new_folder, write_json
from distill.system.cache import cache_folder
from distill.system.errors import DataError

logger = logging.getLogger("distill")

_INDEX = "store.json"


class ArrayStore:
    """Arrays that :func:`open_store` wrote; pickled as the path of their folder.

    Args:
        folder: the folder of the cache.

    Attributes:
        facts: what was noted while they were written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        self.facts: dict[str, Any] = index["facts"]
        self._arrays = {name: _mapped(folder / name, kind) for name, kind in index["types"].items()}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __reduce__(self) -> tuple[Any, ...]:
        # Other processes open the files themselves; a pickled memmap would be a copy.
        return ArrayStore, (self.folder,)


def _mapped(path: Path, kind: str) -> npt.NDArray[Any]:
    # An empty file cannot be mapped.
    return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.empty(0, kind)


class ArrayWriter:
    """Appends to the arrays of a new store.

    Args:
        folder: an empty folder.
        types: the arrays' types by name.
    """

    def __init__(self, folder: Path, types: Mapping[str, str]) -> None:
        self._types = types
        self._stack = contextlib.ExitStack()
        self._files = {n: self._stack.enter_context((folder / n).open("wb")) for n in types}

    def append(self, **values: Any) -> None:
        """Append values to arrays, by name."""
        for name, array in values.items():
            self._files[name].write(np.asarray(array, dtype=self._types[name]).tobytes())

    def close(self) -> None:
        """Close the files."""
        self._stack.close()


def open_store(
    kind: str,
    key: str,
    types: Mapping[str, str],
    *,
    name: str,
    fill: Callable[[ArrayWriter], dict[str, Any]],
) -> ArrayStore:
    """The cache's arrays for a key: written now, unless they are there and whole.

    Args:
        kind: what they hold (``tokens``); the folder of the cache that they lie in.
        key: SHA-256 (hex) of what they are computed from.
        types: the arrays' types by name.
        name: whose they are, such as a split's name.
        fill: appends to the arrays and returns facts about them, as JSON.

    Raises:
        DataError: the cache cannot be written.
    """
    folder = cache_folder() / kind / key[:32]
    broken = _issue(folder, key)
    if broken is None:
        return ArrayStore(folder)
    if folder.exists():
        logger.info("%s: cached %s in %s %s; made anew", name, kind, folder, broken)
    try:
        with new_folder(folder) as new:
            with contextlib.closing(ArrayWriter(new, types)) as writer:
                facts = fill(writer)
            files = {one: _signature(new / one) for one in types}
            index = {"key": key, "types": dict(types), "files": files, "facts": facts}
            write_json(new / _INDEX, index)
    except OSError as error:
        # Another process (a second run, another rank) may have put the same folder there first.
        if _issue(folder, key) is not None:
            raise DataError(
                f"cannot write {kind} to the cache {folder.parent}: {error.strerror}; free some "
                "space there or set DISTILL_CACHE to another folder"
            ) from error
    return ArrayStore(folder)


def _signature(path: Path) -> list[int | str]:
    """Size and SHA-256 (hex) of a file."""
    return [path.stat().st_size, digest.of_file(path)]


def _issue(folder: Path, key: str) -> str | None:
    """Why a folder of the cache cannot be used, or ``None`` where it can."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        if index["key"] != key:
            return "are of other data"
        for name, expected in index["files"].items():
            if _signature(folder / name) != expected:
                return f"are damaged ({name})"
    except FileNotFoundError as error:
        return f"are not whole (no {Path(error.filename).name})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"are damaged ({_INDEX})"
    return None
