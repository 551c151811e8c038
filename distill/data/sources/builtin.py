"""Data sets that are made on this machine, without a network, and kept in the cache."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill import digest
from distill.atomic import new_folder, write_json
from distill.cache import cache_folder
from distill.data.bad_rows import BadRows
from distill.data.sources import docstrings
from distill.data.sources.table import Table
from distill.errors import DataError, listed, nearest
from distill.recipe.schema import DataConfig

logger = logging.getLogger("distill")

_NAMES = ("docstrings",)
_ROWS, _FACTS = "rows.jsonl", "rows.json"
_ROLES = ("train", "validation", "test")


def read_builtin(
    data: DataConfig,
    wanted: Sequence[str],
    base: Path | None,
    bad: BadRows | None = None,
    *,
    several: bool = False,
) -> dict[str, Table]:
    """Read a built-in data set: columns ``text`` and ``label``, with all three splits.

    Args:
        data: the recipe's ``data`` section; ``path`` is the data set's name.
        wanted: not used, the columns are known.
        base: not used.
        bad: not used: every row can be parsed.
        several: whether a row's label is a list of labels.

    Raises:
        DataError: an unknown name, or a cache folder that cannot be written.
    """
    if data.path not in _NAMES:
        known = f"known are {listed(_NAMES)}{nearest(data.path or '', _NAMES)}"
        raise DataError(f"data.path: no built-in data set '{data.path}'; {known}")
    for role in _ROLES:
        if getattr(data, role) is not None:
            raise DataError(
                f"data.{role}: built-in data have their own splits; leave it out, or set "
                "data.source to files or hub"
            )
    rows = docstring_rows(several=several)
    names = tuple(sorted({name for row in rows for name in (row[2] if several else [row[2]])}))
    tables = {}
    for role in _ROLES:
        own = [row for row in rows if row[0] == role]
        columns: dict[str, list[Any]] = {
            "text": [row[1] for row in own],
            "label": [row[2] for row in own],
        }
        tables[role] = Table(
            f"docstrings:{role}",
            columns,
            ["text", "label"],
            label_names=names,
            notes=(*(_missing() if role == "train" else ()), *_told_several(role, own, several)),
        )
    return tables


def _missing() -> tuple[str, ...]:
    """A note where libraries are not installed: scores then compare with nobody else's."""
    present = docstrings.versions()
    missing = [lib.label for lib in docstrings.LIBRARIES if lib.label not in present]
    if not missing:
        return ()
    return (
        f"docstrings: without {listed(missing)} (not installed): fewer labels than the "
        f"{len(docstrings.LIBRARIES)} of published scores",
    )


def _told_several(role: str, rows: list[tuple[str, str, Any]], several: bool) -> tuple[str, ...]:
    """How many rows have more than one label: few, as this data set is."""
    if not several:
        return ()
    count = sum(len(labels) > 1 for _, _, labels in rows)
    return (f"docstrings:{role}: {count:,} of {len(rows):,} rows have several labels",)


def docstring_rows(*, several: bool = False) -> list[tuple[str, str, Any]]:
    """Rows (split, text, label) of ``docstrings``, made once for the installed versions.

    Args:
        several: whether a row has a list of labels instead of one.

    Raises:
        DataError: the cache folder cannot be written.
    """
    libraries = docstrings.versions()
    made_of: dict[str, Any] = {"version": docstrings.VERSION, "libraries": libraries}
    if several:
        made_of["several"] = True
    folder = cache_folder() / "builtin" / f"docstrings-{digest.of_json(made_of)[:16]}"
    kept = _kept(folder)
    if kept is not None:
        return kept
    if folder.exists():
        logger.info("docstrings: the cached rows in %s are damaged; made anew", folder)
    rows = docstrings.gather(several=True) if several else docstrings.gather()
    _keep(folder, rows, made_of)
    splits = Counter(split for split, _, _ in rows)
    logger.info(
        "docstrings: %s rows of %d libraries (%s)",
        f"{len(rows):,}",
        len(libraries),
        ", ".join(f"{role} {splits[role]:,}" for role in _ROLES),
    )
    return rows


def _keep(folder: Path, rows: list[tuple[str, str, Any]], made_of: dict[str, Any]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    facts = {
        "made_of": made_of,
        "rows": dict(
            sorted(Counter(f"{_named(label)} {split}" for split, _, label in rows).items())
        ),
    }
    try:
        with new_folder(folder) as new:
            (new / _ROWS).write_text(lines, encoding="utf-8")
            write_json(new / _FACTS, {**facts, "sha256": digest.of_file(new / _ROWS)})
    except OSError as error:
        if _kept(folder) is not None:  # another process put the same rows there first
            return
        raise DataError(
            f"cannot write to the cache {folder.parent}: {error.strerror}; free some space there "
            "or set DISTILL_CACHE to another folder"
        ) from error


def _named(label: str | list[str]) -> str:
    return label if isinstance(label, str) else "+".join(label)


def _kept(folder: Path) -> list[tuple[str, str, Any]] | None:
    """The rows in the cache, or ``None`` where there are none or they are damaged."""
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        if facts["sha256"] != digest.of_file(folder / _ROWS):
            return None
        with (folder / _ROWS).open(encoding="utf-8") as file:
            return [(split, text, label) for split, text, label in map(json.loads, file)]
    except (OSError, ValueError, KeyError, TypeError):
        return None
