"""Tables of questions to checked rows: answers that stand where they are said to stand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from distill.data.questions import Answer, QuestionSplit
from distill.data.sources.table import Table
from distill.data.texts import texts
from distill.errors import DataError
from distill.recipe.schema import Columns

#: The column with an answer's first character, where ``answers`` holds its text alone.
START = "answer_start"
_ID = "id"


def wanted(columns: Columns) -> list[str]:
    """The columns to read."""
    return [columns.question, columns.context, columns.answers, columns.id or _ID, START]


def to_questions(table: Table, columns: Columns, *, name: str, no_answer: bool) -> QuestionSplit:
    """The rows of a table, checked.

    An answer is told by ``{"text": [...], "answer_start": [...]}``, by a list of ``{"text",
    "answer_start"}``, by either as JSON in a cell of text, or by its text alone, with the column
    ``answer_start`` where the text stands more than once in the context.

    Args:
        table: the rows.
        columns: which columns hold what.
        name: the split's name.
        no_answer: whether questions may have no answer.

    Raises:
        DataError: a column is missing, a text is empty or not Unicode, an id stands twice, or an
            answer is missing or does not stand where it is said to.
    """
    questions = texts(table, columns.question, "data.columns.question")
    contexts = texts(table, columns.context, "data.columns.context")
    values = table.column(columns.answers, "data.columns.answers")
    starts = table.columns.get(START, [None] * len(values))
    rows = zip(values, starts, contexts, strict=True)
    answers = [_answers(table.at(row), *cells) for row, cells in enumerate(rows)]
    if not no_answer:
        _check_answered(table, answers)
    return QuestionSplit(name, _ids(table, columns.id or _ID), questions, contexts, answers)


def is_unanswered(table: Table, columns: Columns) -> bool:
    """Whether no question of a split has answers: no such column, or nothing but gaps."""
    values = table.columns.get(columns.answers)
    return values is None or all(value is None for value in values)


def _ids(table: Table, column: str) -> list[str]:
    """What the questions are called: their ids, else the rows' numbers."""
    given = table.columns.get(column)
    if given is None:
        return [str(row) for row in range(len(table))]
    places: dict[str, int] = {}
    found = []
    for row, value in enumerate(given):
        if value is None or value == "":
            raise DataError(
                f"{table.at(row)}: the id is missing in column '{column}'; every row needs one, or "
                "none"
            )
        name = str(value)
        first = places.setdefault(name, row)
        if first != row:
            raise DataError(
                f"{table.at(row)}: the id '{name}' stands in {table.at(first)} too; predictions "
                "are told apart by it, so remove one or give it another"
            )
        found.append(name)
    return found


def _check_answered(table: Table, answers: Sequence[tuple[Answer, ...]]) -> None:
    without = [row for row, found in enumerate(answers) if not found]
    if not without:
        return
    rest = f" (and {len(without) - 1:,} more)" if len(without) > 1 else ""
    raise DataError(
        f"{table.at(without[0])}: no answer{rest}; where a text need not answer its question, "
        "write task.no_answer: true, else remove the row"
    )


def _answers(place: str, value: Any, start: Any, context: str) -> tuple[Answer, ...]:
    """A row's answers, each checked against the context."""
    if value is None:
        raise DataError(f"{place}: answers are missing; write an empty list where nothing answers")
    if isinstance(value, str):
        value = _cell(place, value, start)
    found = []
    for text, offset in _entries(place, value):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{place}: an answer's text is {text!r}; it must say something")
        found.append(_checked(place, text, offset, context))
    return tuple(found)


def _cell(place: str, value: str, start: Any) -> Any:
    """What a cell of text holds: JSON, or the answer itself."""
    if value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            pass  # an answer may begin with a bracket
    if not value.strip():
        return []
    if isinstance(start, str):
        if not start.strip():
            start = None
        elif not start.strip().isdecimal():
            raise DataError(f"{place}: {START} is '{start}'; it is the answer's first character")
        else:
            start = int(start)
    return [{"text": value, START: start}]


def _entries(place: str, value: Any) -> Iterable[tuple[Any, Any]]:
    """Texts and starts of either form."""
    if isinstance(value, dict) and "text" in value:
        texts, starts = value["text"], value.get(START)
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        if starts is None:
            starts = [None] * len(texts)
        if not isinstance(texts, list) or not isinstance(starts, list):
            raise DataError(f"{place}: text and {START} of answers must be lists")
        if len(texts) != len(starts):
            raise DataError(f"{place}: {len(texts)} texts of answers, but {len(starts)} {START}")
        return zip(texts, starts, strict=True)
    if isinstance(value, list) and all(isinstance(e, dict) and "text" in e for e in value):
        return [(entry["text"], entry.get(START)) for entry in value]
    raise DataError(
        f'{place}: answers are {_short(value)}; write {{"text": ["..."], "{START}": [0]}}'
    )


def _checked(place: str, text: str, start: Any, context: str) -> Answer:
    """An answer that stands in its context, with its first character."""
    if start is None:
        count = context.count(text)
        if count == 1:
            return text, context.index(text)
        said = f"stands {count} times" if count else "does not stand"
        raise DataError(f"{place}: the answer {_short(text)} {said} in the context; give {START}")
    if isinstance(start, bool) or not isinstance(start, int):
        raise DataError(f"{place}: {START} is {start!r}; a number of characters is expected")
    if start >= 0 and context.startswith(text, start):
        return text, start
    there = _short(context[start : start + len(text)]) if 0 <= start < len(context) else "nothing"
    raise DataError(
        f"{place}: the answer {_short(text)} does not stand at character {start}, where {there} "
        f"is{_hint(text, start, context)}"
    )


def _hint(text: str, start: int, context: str) -> str:
    """How the offset may have been counted, or where the answer stands."""
    for encoding, width, unit in (("utf-8", 1, "bytes"), ("utf-16-le", 2, "UTF-16 units")):
        raw, wanted = context.encode(encoding), text.encode(encoding)
        if start > 0 and raw.startswith(wanted, start * width):
            right = len(raw[: start * width].decode(encoding, "ignore"))
            return f"; it counts {unit}, and characters (code points) are expected: {right}"
    places = context.count(text)
    if not places:
        return "; the context does not hold it"
    nearest = min(
        (place for place in range(len(context)) if context.startswith(text, place)),
        key=lambda place: abs(place - start),
    )
    return f"; it stands at {nearest}"


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
