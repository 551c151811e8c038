"""Content hashes: what caches are keyed by and what resume compares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def of_json(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value; key order does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def of_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_folder(folder: Path, suffixes: Iterable[str] | None = None) -> str:
    """SHA-256 (hex) over the relative names and bytes of the files below ``folder``, sorted.

    Counted are files whose name ends in one of ``suffixes``, or all.
    """
    wanted = None if suffixes is None else tuple(suffixes)
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and (wanted is None or path.name.endswith(wanted))
    )
    return of_json([(name, of_file(folder / name)) for name in names])


def of_texts(texts: Iterable[str | None]) -> str:
    """SHA-256 (hex) of a sequence of texts, each told from the next by its length."""
    digest = hashlib.sha256()
    for text in texts:
        if text is None:
            digest.update(b"-1:")
            continue
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(f"{len(raw)}:".encode())
        digest.update(raw)
    return digest.hexdigest()
