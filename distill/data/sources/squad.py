"""SQuAD's JSON, versions 1.1 and 2.0: articles of paragraphs, each with its questions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from distill.data.bad_rows import BadRows
from distill.data.sources.lines import read_lines
from distill.data.sources.table import Table
from distill.errors import DataError

#: The columns that a nested file is read into.
COLUMNS = ("id", "question", "context", "answers")


def read_squad(path: Path, wanted: Sequence[str], bad: BadRows | None = None) -> Table:
    """Read ``.json`` in SQuAD's nested form, plain or ``.gz``, as a table with a row a question.

    Answers are lists of ``{"text", "answer_start"}``; a question that is marked as impossible has
    none.

    Args:
        path: the file.
        wanted: not used: the columns are :data:`COLUMNS`.
        bad: not used: a nested file is whole or not.

    Raises:
        DataError: not JSON, not in this form, or without questions; and what
            :func:`~distill.data.sources.lines.read_lines` raises.
    """
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    names: list[str] = []
    for place, context, question in _questions(path, _parsed(path)):
        answers = question.get("answers")
        name = question.get("id")
        if question.get("is_impossible") is True:
            if answers:
                raise DataError(
                    f"{path}: {place}: is_impossible is true and there are answers; mend one"
                )
            answers = []
        names.append(place if name is None else f"question '{name}'")
        values = (name, question.get("question"), context, answers)
        for column, value in zip(COLUMNS, values, strict=True):
            columns[column].append(value)
    if not names:
        raise DataError(f"{path}: no questions; it needs rows to learn from")
    there = {n: v for n, v in columns.items() if any(value is not None for value in v)}
    return Table(str(path), there, list(there), names=names)


def _parsed(path: Path) -> Any:
    text = "".join(line for _, line in read_lines(path))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}:{error.lineno}: not JSON ({error.msg}, column {error.colno}); rows with one "
            "object a line belong into a .jsonl file"
        ) from None
    except RecursionError:
        raise DataError(f"{path}: JSON nested too deeply") from None


def _questions(path: Path, content: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Place, context and entry of every question."""
    if not isinstance(content, dict) or "data" not in content:
        raise DataError(
            f"{path}: no 'data' at the top; a .json file is read as SQuAD's "
            '{"data": [{"paragraphs": [...]}]}, rows of other tasks belong into .jsonl or .csv'
        )
    for number, article in enumerate(_list(path, content, "data", "")):
        here = f"data[{number}]"
        for index, paragraph in enumerate(_list(path, article, "paragraphs", here)):
            place = f"{here}.paragraphs[{index}]"
            for row, question in enumerate(_list(path, paragraph, "qas", place)):
                if not isinstance(question, dict):
                    raise DataError(f"{path}: {place}.qas[{row}]: not an object")
                yield f"{place}.qas[{row}]", paragraph.get("context"), question


def _list(path: Path, entry: Any, key: str, place: str) -> list[Any]:
    where = f"{path}: {place}" if place else str(path)
    if not isinstance(entry, dict):
        raise DataError(f"{where}: {type(entry).__name__} instead of an object with '{key}'")
    found = entry.get(key)
    if not isinstance(found, list):
        what = f"has no '{key}'" if found is None else f"'{key}' is no list"
        raise DataError(f"{where}: {what}; SQuAD's form is data, paragraphs, qas")
    return found
