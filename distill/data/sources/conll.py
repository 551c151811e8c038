"""Column files, as in CoNLL's shared tasks: a word a line, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from distill.data.bad_rows import BadRows
from distill.data.sources.lines import read_lines
from distill.data.sources.table import Table, listed
from distill.errors import DataError

#: What stands for the first and the last column of a file whose columns have no names.
TOKENS, TAGS = "tokens", "tags"
_DOCUMENT = "-DOCSTART-"
# Comments of CoNLL-U and MultiCoNER; a word may begin with '#' too.
_COMMENT = re.compile(r"#\s?(id|sent_id|text|newdoc|newpar|global\.columns)\b")

#: A sentence: its first line, and the fields of each of its lines.
_Sentence = tuple[int, list[list[str]]]


def read_conll(path: Path, wanted: Sequence[str], bad: BadRows | None = None) -> Table:
    """Read the words of sentences, each with its tag.

    Fields are parted by tabs where a line has one, else by spaces. The first column (``tokens``)
    has the words and the last one (``tags``) the tags; others go by their numbers from 1. Lines
    that begin a document (``-DOCSTART-``) and comments before a sentence (``# id ...``) are left
    out.

    Args:
        path: the file.
        wanted: the columns to read.
        bad: what to do with sentences whose lines have not as many fields as the first line; left
            out, they are refused.

    Raises:
        DataError: no sentences, or a line with more or fewer fields than the first; and what
            :func:`~distill.data.sources.lines.read_lines` raises.
    """
    bad = bad or BadRows()
    columns: dict[str, list[list[str]]] = {name: [] for name in wanted}
    names: list[str] = []
    lines: list[int] = []
    for line, rows in _sentences(path):
        if not names:
            names = _names(path, line, rows[0])
            columns = {name: columns[name] for name in wanted if name in names}
        odd = next((n for n, row in enumerate(rows) if len(row) != len(names) - 2), None)
        if odd is not None:
            count = len(rows[odd])
            said = (
                f"{count} field{'s' * (count != 1)}, but the first line has {len(names) - 2}; a "
                "blank line parts sentences"
            )
            bad.add(str(path), f"{path}:{line + odd}", said, [" ".join(row) for row in rows])
            continue
        lines.append(line)
        for name, values in columns.items():
            place = names.index(name)
            # The last two names are those of the first and the last column.
            place = {len(names) - 2: 0, len(names) - 1: -1}.get(place, place)
            values.append([row[place] for row in rows])
    if not lines:
        raise DataError(f"{path}: no sentences; it needs rows to learn from")
    return Table(str(path), dict(columns), names, lines, word_lines=True)


def _names(path: Path, line: int, row: Sequence[str]) -> list[str]:
    if len(row) < 2:
        raise DataError(
            f"{path}:{line}: one column ({listed(row)}); a word and its tag are expected, parted "
            "by a tab or a space"
        )
    return [*(str(number + 1) for number in range(len(row))), TOKENS, TAGS]


def _sentences(path: Path) -> Iterator[_Sentence]:
    first, rows = 0, list[list[str]]()
    for number, line in read_lines(path):
        text = line.rstrip("\r\n")
        row = text.split("\t") if "\t" in text else text.split()
        if not "".join(row).strip() or row[0] == _DOCUMENT:
            if rows:
                yield first, rows
            rows = []
            continue
        if not rows:
            if _COMMENT.match(text):
                continue
            first = number
        rows.append(row)
    if rows:
        yield first, rows
