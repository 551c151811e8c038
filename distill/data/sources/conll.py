"""Column files, as in CoNLL's shared tasks: a word a line, a blank line between sentences."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from distill.data.bad_rows import BadRows
from distill.data.sources.columns import ColumnWriter
from distill.data.sources.table import Table
from distill.files.lines import Lines
from distill.system.errors import DataError, listed

#: What stands for the first and the last column of a file whose columns have no names.
TOKENS, TAGS = "tokens", "tags"
_DOCUMENT = "-DOCSTART-"
_ENTITY = re.compile(r"[A-Z]-\S.*")
# Comments of CoNLL-U (`# key = value`, `# newdoc`) and MultiCoNER (`# id 12 domain=en`); a word may
# begin with '#' too.
_COMMENT = re.compile(r"#\s*(\S+( id)? = |(newdoc|newpar)\b|(sent_)?id \S|global\.columns\b)")


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
    out, unless they can be a word with its tag. Bad are sentences whose lines have not as many
    fields as the first line, hold NUL bytes, or are not UTF-8.

    Raises:
        DataError: no sentences, or a bad one where these are refused; and what
            :class:`~distill.files.lines.Lines` raises.
    """
    bad = bad or BadRows()
    columns = ColumnWriter(wanted)
    names: list[str] = []
    lines = array("q")
    for sentence in _sentences(path):
        issue = _issue(sentence, len(names) - 2 if names else None)
        if issue is not None:
            place, said = issue
            content = [" ".join(row) for row in sentence.rows]
            bad.add(str(path), f"{path}:{sentence.line + place}", said, content)
            continue
        if not names:
            names = [*map(str, range(1, len(sentence.rows[0]) + 1)), TOKENS, TAGS]
            # The last two names are those of the first and the last column.
            places = {**{name: place for place, name in enumerate(names)}, TOKENS: 0, TAGS: -1}
            present = [name for name in wanted if name in places]
        lines.append(sentence.line)
        columns.append({one: [row[places[one]] for row in sentence.rows] for one in present})
    if not lines and not bad.of(str(path)):
        raise DataError(f"{path}: no sentences; it needs examples to learn from")
    there = {name: values for name, values in columns.columns().items() if name in names}
    return Table(str(path), there, names, lines, word_lines=True)


def _issue(sentence: _Sentence, fields: int | None) -> tuple[int, str] | None:
    """What is wrong with a sentence, and in which of its lines, counted from 0.

    ``fields`` is how many a line has; ``None`` before any is known, when its first line says it.
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
        f"{count} field{'s' * (count != 1)}, but the first line has {wanted}; a blank line "
        "separates sentences"
    )


def _sentences(path: Path) -> Iterator[_Sentence]:
    width = _width(path)
    found = _Sentence(0, [], {})
    for line in Lines(path):
        row = _split(line.content)
        if not "".join(row).strip() or _begins_document(row):
            if found.rows:
                yield found
            found = _Sentence(0, [], {})
            continue
        if not found.rows:
            if line.issue is None and _is_comment(line.content, row, width):
                continue
            found = _Sentence(line.number, [], {})
        if line.issue is not None:
            found.broken[len(found.rows)] = line.issue
        found.rows.append(row)
    if found.rows:
        yield found


def _split(text: str) -> list[str]:
    # Other blanks, such as U+00A0 and U+2028, are parts of words.
    return text.split("\t") if "\t" in text else [one for one in text.split(" ") if one]


def _width(path: Path) -> int | None:
    """Fields of the first line that is surely no comment."""
    rows = (_split(line.content) for line in Lines(path) if not line.text.startswith("#"))
    return next((len(row) for row in rows if row and not _begins_document(row)), None)


def _begins_document(row: list[str]) -> bool:
    """Whether a line parts documents; with the tag of an entity it is a word like any other."""
    return row[:1] == [_DOCUMENT] and not _ENTITY.fullmatch(row[-1])


def _is_comment(text: str, row: list[str], width: int | None) -> bool:
    """Whether a line before a sentence is a comment: one that cannot be a word with its tag."""
    tagged = row[-1] == "O" or _ENTITY.fullmatch(row[-1]) is not None
    if tagged and (len(row) == width or "=" not in row):
        return False
    return _COMMENT.match(text) is not None
