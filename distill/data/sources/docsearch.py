"""A search in documentation: does a description belong to a function's name?

A search engine finds candidates by their words; a reranker reads the query and each candidate
together and puts the one that answers first. Here the query is the name of a function, class or
method in words (``Table.appendRow`` reads "table append row") and the candidate is the first
paragraph of a docstring of the same module. The source is that of
:mod:`distill.data.sources.docstrings`.

What becomes a row: a public name of two words or more, of a method with those of its class, whose
docstring has a paragraph. Each gives two rows: with its own description (label ``match``), and
with that of another name of its module, rather one that shares words with it (``no match``): what
a search by words puts next to it. Within a module the descriptions are swapped, so that each
stands once under either label: neither text by itself says which. Nothing is taken out of the
descriptions: that a name's words stand in the right description helps every model, and the linear
model shows how far that goes.

A description that stands under two names in the same words is dropped with all its names, since
either could be meant. All rows of a folder of source files are in one split (8:1:1, by the hash of
the folder's name): descriptions of ``no match`` are then of the same split too, and files that
share text (a model and its fast variant) are not parted. Nothing depends on the order of files or
on a seed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from distill.console import Bar
from distill.data.sources import docstrings

#: Changes whenever other rows would be made of the same libraries.
VERSION = 1
#: Most names of one library.
CAP = 3000
#: How far chance outweighs the words that two names share (0 to 1) when descriptions are swapped.
SPREAD = 0.5
#: The two labels, in the order of their outputs.
LABELS = ("match", "no match")

# Acronyms ("HTTPError"), capitalised or lower-case words ("CamelCase", "snake_case"), numbers.
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")

Row = tuple[str, str, str, str]
"""Split, name in words, description, label."""


@dataclass(frozen=True)
class Entry:
    """A name and what its docstring says of it.

    Args:
        folder: where its source file lies, which decides the split.
        module: the source file.
        name: the name in words.
        text: the first paragraph of the docstring.
    """

    folder: str
    module: str
    name: str
    text: str

    @property
    def words(self) -> set[str]:
        """The words of the name."""
        return set(self.name.split())


def gather() -> list[Row]:
    """Read the installed libraries; takes some seconds."""
    present = docstrings.versions()
    libraries = [library for library in docstrings.LIBRARIES if library.label in present]
    entries: list[Entry] = []
    with Bar("read docstrings", len(libraries)) as bar, docstrings.no_garbage_collection():
        for library in libraries:
            found = entries_of(library)
            entries += found
            bar.advance(status=f"{library.label}: {len(found):,}")
    return select(entries)


def entries_of(library: docstrings.Library) -> list[Entry]:
    """The named docstrings of an installed library, about :data:`CAP` of them."""
    found: set[Entry] = set()
    for name, path in docstrings.files(library.module):
        module = f"{library.module}/{name}"
        folder = module.rpartition("/")[0]
        for identifier, docstring in docstrings.docstrings(path):
            words = in_words(identifier)
            text = docstrings.paragraph(docstring) if " " in words else None
            if text is not None and not identifier.startswith("_") and "._" not in identifier:
                found.add(Entry(folder, module, words, text))
        if len(found) > CAP:
            break
    return sorted(found, key=lambda entry: (entry.module, entry.name, entry.text))


def in_words(identifier: str) -> str:
    """A name as somebody would type it: ``HTTPServer.closeAll`` is "http server close all"."""
    return " ".join(_WORD.findall(identifier)).lower()


def select(entries: Iterable[Entry]) -> list[Row]:
    """Drop descriptions with two names, pair each name with two descriptions, and split.

    Args:
        entries: names with their descriptions, in any order.

    Returns:
        Rows sorted by the hash of their texts.
    """
    names: dict[str, set[str]] = {}
    copies: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        text = entry.text.casefold()
        names.setdefault(text, set()).add(entry.name)
        copies.setdefault((entry.name, text), []).append(entry)
    modules: dict[str, list[Entry]] = {}
    for (_, text), same in copies.items():
        if len(names[text]) == 1:
            # Of copies in several modules one is kept: not two of them in two splits.
            entry = min(same, key=lambda entry: docstrings.hash_of(f"{entry.module}:{entry.text}"))
            modules.setdefault(entry.module, []).append(entry)
    rows = []
    for _, here in sorted(modules.items()):
        split = docstrings.split_of(here[0].folder)
        for entry, other in _swapped(here):
            rows.append((split, entry.name, entry.text, LABELS[0]))
            rows.append((split, entry.name, other.text, LABELS[1]))
    return sorted(rows, key=lambda row: docstrings.hash_of("\n".join(row[1:])))


def _swapped(entries: list[Entry]) -> Iterator[tuple[Entry, Entry]]:
    """Yield each entry of a module with another whose description it gets, of another name."""
    entries = sorted(entries, key=lambda entry: (entry.name, entry.text))
    vocabulary = {word: i for i, word in enumerate(sorted({w for e in entries for w in e.words}))}
    has = np.zeros((len(entries), len(vocabulary)))
    for row, entry in enumerate(entries):
        has[row, [vocabulary[word] for word in entry.words]] = 1
    both = has @ has.T
    count = has.sum(axis=1)
    shared = both / (count[:, None] + count[None, :] - both)  # (entries, entries), Jaccard
    seed = int.from_bytes(docstrings.hash_of(entries[0].module)[:8], "big")
    gain = shared + SPREAD * np.random.default_rng(seed).random(shared.shape)
    names = [entry.name for entry in entries]
    gain[[[a == b for b in names] for a in names]] = -len(entries)
    for row, other in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
        if names[row] != names[other]:
            yield entries[row], entries[other]
