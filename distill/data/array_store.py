"""Flat arrays in the cache: filled once for a key, checked when opened, then memory-mapped.

A file that was written to, cut or exchanged since has another size or time of change, and its
SHA-256, taken while it was filled, is then compared. Otherwise so many blocks of it are
(:data:`_BLOCKS`), which opens 10 GB as fast as 1 MB: it finds a file whose content was lost, and
may miss a few bytes that a disk has changed by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
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
#: Blocks of a file that are compared each time it is opened, and their bytes.
_BLOCKS, _BLOCK = 32, 1 << 14


class ArrayStore:
    """Arrays that :func:`open_store` wrote; pickled as the path of their folder.

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
    """Appends to the arrays of a new store, by name."""

    def __init__(self, folder: Path, types: Mapping[str, str], stack: contextlib.ExitStack) -> None:
        self._types = types
        self._files = {n: stack.enter_context((folder / n).open("wb")) for n in types}
        self.hashes = {name: hashlib.sha256() for name in types}

    def append(self, **values: Any) -> None:
        for name, array in values.items():
            content = np.asarray(array, dtype=self._types[name]).tobytes()
            self._files[name].write(content)
            self.hashes[name].update(content)


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
            with contextlib.ExitStack() as stack:
                writer = ArrayWriter(new, types, stack)
                facts = fill(writer)
            files = {n: [*_signature(new / n), one.hexdigest()] for n, one in writer.hashes.items()}
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
    """Size, time of change (ns) and SHA-256 (hex) of evenly spread blocks of a file."""
    facts, sample = path.stat(), hashlib.sha256()
    with path.open("rb") as file:
        for number in range(_BLOCKS):
            file.seek(max(0, facts.st_size - _BLOCK) * number // (_BLOCKS - 1))
            sample.update(file.read(_BLOCK))
    return [facts.st_size, facts.st_mtime_ns, sample.hexdigest()]


def _is_whole(path: Path, size: int, changed: int, sample: str, sha: str) -> bool:
    found = _signature(path)
    if found == [size, changed, sample]:
        return True
    if found[0] != size or digest.of_file(path) != sha:
        return False
    with contextlib.suppress(OSError):  # a cache that can only be read is hashed each time
        os.utime(path, ns=(changed, changed))  # it was copied
    return True


def _issue(folder: Path, key: str) -> str | None:
    """Why a folder of the cache cannot be used, or ``None`` where it can."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        if index["key"] != key:
            return "are of other data"
        for name, expected in index["files"].items():
            if not _is_whole(folder / name, *expected):
                return f"are damaged ({name})"
    except FileNotFoundError as error:
        return f"are not whole (no {Path(error.filename).name})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"are damaged ({_INDEX})"
    return None
