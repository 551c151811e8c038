"""Cache folders that are checked when they are opened: size and SHA-256 of each file, by a key."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from distill import digest


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
