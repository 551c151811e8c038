"""SQuAD's JSON, versions 1.1 and 2.0: articles of paragraphs, each with its questions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from distill.data.bad_rows import BadRows
from distill.data.sources.columns import ColumnWriter
from distill.data.sources.table import Table
from distill.files.lines import Lines
from distill.system.errors import DataError

#: The columns that a nested file is read into.
COLUMNS = ("id", "question", "context", "answers")
_FORM = "SQuAD's form is data, paragraphs, qas"


def read_squad(path: Path, wanted: Sequence[str], bad: BadRows | None = None) -> Table:
    """Read ``.json`` in SQuAD's nested form, plain or ``.gz``, as a table with a row a question.

    Answers are lists of ``{"text", "answer_start"}``; a question that is marked as impossible has
    none. The columns are :data:`COLUMNS`, whatever is ``wanted``.

    Raises:
        DataError: not JSON, not in this form, or without questions; and what
            :class:`~distill.files.lines.Lines` raises.
    """
    bad = bad or BadRows()
    columns = ColumnWriter(COLUMNS)
    present: set[str] = set()
    names: list[str] = []
    seen: set[str] = set()
    for place, context, question in _questions(path, _parsed(path), bad):
        answers = question.get("answers")
        name = question.get("id")
        if question.get("is_impossible") is True:
            if answers:
                said = "is_impossible is true and there are answers; fix one"
                bad.add(str(path), f"{path}: {place}", said, question)
                continue
            answers = []
        # An id that occurs twice does not say which of the two it is.
        told = f"question '{name}'" if str(name) not in seen else f"question '{name}' ({place})"
        seen.add(str(name))
        names.append(place if name is None else told)
        values = (name, question.get("question"), context, answers)
        row = dict(zip(COLUMNS, values, strict=True))
        present |= {column for column, value in row.items() if value is not None}
        columns.append(row)
    if not names and not bad.of(str(path)):
        raise DataError(f"{path}: no questions; it needs examples to learn from")
    there = {name: values for name, values in columns.columns().items() if name in present}
    return Table(str(path), there, list(there), names=names)


def _parsed(path: Path) -> Any:
    text = "".join(line.text for line in Lines(path).good())
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}: not JSON ({error.msg}, column {error.colno}); rows with one "
            "object a line belong into a .jsonl file"
        ) from None
    except RecursionError:
        raise DataError(f"{path}: JSON nested too deeply") from None


def _questions(path: Path, content: Any, bad: BadRows) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Place, context and entry of every question."""
    if not isinstance(content, dict) or "data" not in content:
        raise DataError(
            f"{path}: no 'data' at the top; a .json file is read as SQuAD's "
            '{"data": [{"paragraphs": [...]}]}, rows of other tasks belong into .jsonl or .csv'
        )
    if not isinstance(content["data"], list):
        raise DataError(f"{path}: 'data' is no list; {_FORM}")
    for number, article in enumerate(content["data"]):
        here = f"data[{number}]"
        for index, paragraph in enumerate(_list(path, article, "paragraphs", here, bad)):
            place = f"{here}.paragraphs[{index}]"
            for row, question in enumerate(_list(path, paragraph, "qas", place, bad)):
                if isinstance(question, dict):
                    yield f"{place}.qas[{row}]", paragraph.get("context"), question
                else:
                    said = f"not an object but {type(question).__name__}; {_FORM}"
                    bad.add(str(path), f"{path}: {place}.qas[{row}]", said, question)


def _list(path: Path, entry: Any, key: str, place: str, bad: BadRows) -> list[Any]:
    """A list in an entry; of one that has none nothing, once that was told."""
    found = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(found, list):
        return found
    if not isinstance(entry, dict):
        what = f"{type(entry).__name__} instead of an object with '{key}'"
    else:
        what = f"has no '{key}'" if found is None else f"'{key}' is no list"
    bad.add(str(path), f"{path}: {place}", f"{what}; {_FORM}", entry)
    return []
