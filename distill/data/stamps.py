"""Cache folders that are checked when they are opened: size and SHA-256 of each file, by a key."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from distill import digest
from distill.atomic import new_folder
from distill.cache import cache_folder
from distill.errors import DataError

logger = logging.getLogger("distill")


def cached_folder(
    kind: str, key: str, *, facts: str, holds: str, name: str, fill: Callable[[Path], None]
) -> Path:
    """The cache's folder for a key: filled now, unless it is there and whole.

    Args:
        kind: the folder of its like below the cache.
        key: what its content is a function of.
        facts: the name of its JSON file, as for :func:`fault`.
        holds: what it holds, such as ``tokens``.
        name: whose they are, such as a split's name.
        fill: writes all its files, the facts last, into an empty folder, which appears when whole.

    Raises:
        DataError: the cache cannot be written.
    """
    folder = cache_folder() / kind / key[:32]
    broken = fault(folder, key, facts=facts)
    if broken is None:
        return folder
    if folder.exists():
        logger.info("%s: cached %s in %s %s; made anew", name, holds, folder, broken)
    try:
        with new_folder(folder) as new:
            fill(new)
    except OSError as error:
        # Another process (a second run, another rank) may have put the same folder there first.
        if fault(folder, key, facts=facts) is not None:
            raise DataError(
                f"cannot write {holds} to the cache {folder.parent}: {error.strerror}; free some "
                "space there or set DISTILL_CACHE to another folder"
            ) from error
    return folder


def stamp(folder: Path, names: Iterable[str]) -> dict[str, list[int | str]]:
    """Size and SHA-256 (hex) of files of a folder, by name."""
    return {name: _stamp(folder / name) for name in names}


def _stamp(path: Path) -> list[int | str]:
    return [path.stat().st_size, digest.of_file(path)]


def fault(folder: Path, key: str, *, facts: str) -> str | None:
    """Why a cache folder cannot be used, or ``None`` where it can.

    Args:
        folder: the folder.
        key: what its content is a function of; stands as ``key`` in the facts.
        facts: the name of its JSON file, with ``key`` and ``files`` (from :func:`stamp`).
    """
    try:
        content = json.loads((folder / facts).read_text(encoding="utf-8"))
        if content["key"] != key:
            return "are of other data"
        for name, expected in content["files"].items():
            if _stamp(folder / name) != expected:
                return f"are damaged ({name})"
    except FileNotFoundError as error:
        return f"are not whole (no {Path(error.filename).name})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"are damaged ({facts})"
    return None
