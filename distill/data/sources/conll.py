"""Column files, as in CoNLL's shared tasks: a word a line, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from distill.data.bad_rows import BadRows
from distill.data.sources.lines import read_all_lines
from distill.data.sources.table import Table, listed
from distill.errors import DataError

#: What stands for the first and the last column of a file whose columns have no names.
TOKENS, TAGS = "tokens", "tags"
_DOCUMENT = "-DOCSTART-"
# Comments of CoNLL-U and MultiCoNER; a word may begin with '#' too.
_COMMENT = re.compile(r"#\s?(id|sent_id|text|newdoc|newpar|global\.columns)\b")


class _Sentence(NamedTuple):
    line: int
    """Its first line."""
    rows: list[list[str]]
    """The fields of each of its lines."""
    broken: dict[int, str]
    """What is wrong with the bytes of a line, by its place in the sentence."""


def read_conll(path: Path, wanted: Sequence[str], bad: BadRows | None = None) -> Table:
    """Read the words of sentences, each with its tag.

    Fields are parted by tabs where a line has one, else by spaces. The first column (``tokens``)
    has the words and the last one (``tags``) the tags; others go by their numbers from 1. Lines
    that begin a document (``-DOCSTART-``) and comments before a sentence (``# id ...``) are left
    out.

    Args:
        path: the file.
        wanted: the columns to read.
        bad: what to do with sentences whose lines have not as many fields as the first line, hold
            NUL bytes, or are not UTF-8; left out, they are refused.

    Raises:
        DataError: no sentences, or one of those faults where bad rows are refused; and what
            :func:`~distill.data.sources.lines.read_all_lines` raises.
    """
    bad = bad or BadRows()
    columns: dict[str, list[list[str]]] = {name: [] for name in wanted}
    names: list[str] = []
    lines: list[int] = []
    for sentence in _sentences(path):
        fault = _fault(sentence, len(names) - 2 if names else None)
        if fault is not None:
            place, said = fault
            content = [" ".join(row) for row in sentence.rows]
            bad.add(str(path), f"{path}:{sentence.line + place}", said, content)
            continue
        if not names:
            names = _names(len(sentence.rows[0]))
            columns = {name: columns[name] for name in wanted if name in names}
        lines.append(sentence.line)
        for name, values in columns.items():
            place = names.index(name)
            # The last two names are those of the first and the last column.
            place = {len(names) - 2: 0, len(names) - 1: -1}.get(place, place)
            values.append([row[place] for row in sentence.rows])
    if not lines and not bad.of(str(path)):
        raise DataError(f"{path}: no sentences; it needs rows to learn from")
    return Table(str(path), dict(columns), names, lines, word_lines=True)


def _names(fields: int) -> list[str]:
    return [*(str(number + 1) for number in range(fields)), TOKENS, TAGS]


def _fault(sentence: _Sentence, fields: int | None) -> tuple[int, str] | None:
    """What is wrong with a sentence, and in which of its lines, counted from 0.

    Args:
        sentence: the sentence.
        fields: how many fields a line has; ``None`` before any is known, when the sentence's own
            first line says it.
    """
    if sentence.broken:
        return min(sentence.broken.items())
    first = sentence.rows[0]
    if fields is None and len(first) < 2:
        return 0, (
            f"one column ({listed(first)}); a word and its tag are expected, parted by a tab or a "
            "space"
        )
    wanted = len(first) if fields is None else fields
    odd = next((n for n, row in enumerate(sentence.rows) if len(row) != wanted), None)
    if odd is None:
        return None
    count = len(sentence.rows[odd])
    return odd, (
        f"{count} field{'s' * (count != 1)}, but the first line has {wanted}; a blank line parts "
        "sentences"
    )


def _sentences(path: Path) -> Iterator[_Sentence]:
    found = _Sentence(0, [], {})
    for line in read_all_lines(path):
        text = line.text.rstrip("\r\n")
        row = text.split("\t") if "\t" in text else text.split()
        if not "".join(row).strip() or row[0] == _DOCUMENT:
            if found.rows:
                yield found
            found = _Sentence(0, [], {})
            continue
        if not found.rows:
            if _COMMENT.match(text):
                continue
            found = _Sentence(line.number, [], {})
        if line.fault is not None:
            found.broken[len(found.rows)] = line.fault
        found.rows.append(row)
    if found.rows:
        yield found
