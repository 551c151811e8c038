"""A search in documentation from every machine: names in code, and what may describe them.

A query is the name of a class, function or method of the libraries of
:mod:`distill.data.sources.docstrings` in words (``Index.get_loc`` is "index get loc"). Its
candidates are the first paragraph of its docstring, which is relevant, and those of nine
neighbours: of the same file, where there are as many, else of the same library. Names of one word,
private ones and those that stand for several descriptions are left out, and so are descriptions
that have all of a name's words, which need no model to be found.

Whole files go to a split by the hash of their names, so that no neighbour of a test query was
trained on. Hashes also decide which names and neighbours are kept, and the order of candidates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from distill.data.sources.docstrings import (
    LIBRARIES,
    Library,
    docstrings,
    files,
    hash_of,
    no_garbage_collection,
    paragraph,
    split_of,
    versions,
)
from distill.system.console import Bar

#: Changes whenever other rows would be made of the same libraries.
VERSION = 1
#: Most queries of a library.
CAP = 1000
#: Files are read until there are so many times as many descriptions.
_SURPLUS = 2
#: Candidates of a query, the relevant one included.
CANDIDATES = 10

#: Split, query, candidates, and for each 1 where it is relevant.
Row = tuple[str, str, list[str], list[int]]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
#: Description by query, of one file.
_File = dict[str, str]


def gather() -> list[Row]:
    """Read the installed libraries; takes some seconds. Rows are sorted by the hash of queries."""
    present = versions()
    libraries = [library for library in LIBRARIES if library.label in present]
    rows: list[Row] = []
    with Bar("read docstrings", len(libraries)) as bar, no_garbage_collection():
        for library in libraries:
            rows += _of_library(library)
            bar.advance(status=library.label)
    # Of a query that several libraries have, none is the one that is meant.
    owners: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        owners[row[1]] += 1
    return sorted((row for row in rows if owners[row[1]] == 1), key=lambda row: hash_of(row[1]))


def _of_library(library: Library) -> list[Row]:
    found: list[tuple[str, _File]] = []
    for name, path in files(library.module):
        found.append((split_of(f"{library.module}/{name}"), _described(path)))
        if sum(len(own) for _, own in found) > _SURPLUS * CAP:
            break
    descriptions: defaultdict[str, set[str]] = defaultdict(set)
    for _, own in found:
        for query, text in own.items():
            descriptions[query].add(text)
    rows = []
    for split in ("train", "validation", "test"):
        parts = [own for there, own in found if there == split]
        # Some of the whole library, for files with few descriptions.
        others = sorted({text for own in parts for text in own.values()}, key=hash_of)[:500]
        for own in parts:
            rows += [
                (split, query, *_candidates(query, text, [*own.values()], others))
                for query, text in own.items()
                if len(descriptions[query]) == 1 and not set(query.split()) <= set(_words(text))
            ]
    return sorted(
        (row for row in rows if len(row[2]) == CANDIDATES), key=lambda row: hash_of(row[1])
    )[:CAP]


def _described(path: Path) -> _File:
    """The names in words that a file describes; the first description of each."""
    found: _File = {}
    for name, docstring in docstrings(path):
        query, text = " ".join(_words(name)), paragraph(docstring)
        if text and not re.search(r"(^|\.)_", name) and len(query.split()) > 1:
            found.setdefault(query, text)
    return found


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _candidates(
    query: str, right: str, near: Sequence[str], others: Sequence[str]
) -> tuple[list[str], list[int]]:
    """The right description among others, and which it is."""

    def drawn(texts: Sequence[str]) -> Iterator[str]:
        yield from sorted(set(texts), key=lambda text: hash_of(f"{query}\n{text}"))

    chosen = dict.fromkeys([right, *drawn(near), *drawn(others)])
    kept = list(drawn(list(chosen)[:CANDIDATES]))
    return kept, [int(text == right) for text in kept]
