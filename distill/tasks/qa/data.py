"""Questions, the texts that may answer them, and the answers in these."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from distill.data.reader import Examples, Reader, Tables
from distill.data.sources.columns import mapped
from distill.data.sources.table import ADVICE, Table, id_issues, shown, text_issues
from distill.recipe.schema import Columns
from distill.tasks.qa.windows import Answer, QuestionSplit

#: The column with an answer's first character, where ``answers`` holds its text alone.
START = "answer_start"
_ID = "id"


class QuestionReader(Reader):
    """Reads questions with their answers, checked against the texts that they stand in.

    An answer is ``{"text": [...], "answer_start": [...]}``, a list of ``{"text",
    "answer_start"}``, either as JSON in a cell of text, or its text alone, with the column
    ``answer_start`` where the text stands more than once in the context.
    """

    label_key = "answers"

    @property
    def wanted(self) -> list[str]:
        return [*dict.fromkeys([*super().wanted, self.columns.id or _ID]), START]

    def read(self, tables: Tables) -> Examples:
        return {role: self._questions(role, table) for role, table in tables.items()}, ()

    def _questions(self, role: str, table: Table) -> QuestionSplit:
        columns, bad = self.columns, self.bad
        for key in ("question", "context"):
            issues = text_issues(table, getattr(columns, key), f"data.columns.{key}")
            table = bad.sift(table, issues, advice=ADVICE)
        column = columns.id or (_ID if _ID in table.columns else None)
        if column is not None:
            table = bad.sift(table, id_issues(table, column))
        read = _all_answers(table, columns, self.task.no_answer)
        table, answers = bad.read(table, read, _STORED, _as_answers)
        ids: Sequence[Any] = table.columns[column] if column else range(len(table))
        return QuestionSplit(
            role,
            texts=table.columns[columns.question],
            labels=answers,
            pairs=table.columns[columns.context],
            ids=mapped(ids, str),
            stride=self.task.stride,
            max_question=self.task.max_question_length,
        )


#: How the answers of a question are stored.
_STORED = pa.list_(pa.struct([("text", pa.string()), ("start", pa.int64())]))


def _as_answers(stored: list[dict[str, Any]]) -> tuple[Answer, ...]:
    return tuple((one["text"], one["start"]) for one in stored)


def _all_answers(
    table: Table, columns: Columns, no_answer: bool
) -> Iterator[list[dict[str, Any]] | str]:
    """Of each row its answers, or what is wrong with them."""
    values = table.column(columns.answers, "data.columns.answers")
    starts = table.columns.get(START, [None] * len(values))
    said = "no answer; where a text need not answer its question, write task.no_answer: true"
    for cells in zip(values, starts, table.columns[columns.context], strict=True):
        found = _answers(*cells)
        yield found if found or no_answer else said


def _answers(value: Any, start: Any, context: str) -> list[dict[str, Any]] | str:
    """A row's answers, each checked against the context, or what is wrong with one."""
    if value is None:
        return "answers are missing; write an empty list where nothing answers"
    if isinstance(value, str):
        value = _cell(value, start)
    entries = _entries(value)
    if isinstance(entries, str):
        return entries
    found = []
    for text, offset in entries:
        one = _checked(text, offset, context)
        if isinstance(one, str):
            return one
        found.append(dict(zip(("text", "start"), one, strict=True)))
    return found


def _cell(value: str, start: Any) -> Any:
    """What a cell of text holds: JSON, or the answer itself."""
    if value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            pass  # an answer may begin with a bracket
    if not value.strip():
        return []
    if isinstance(start, str):
        start = start.strip() or None
        if start is not None and start.isdecimal():
            start = int(start)
    return [{"text": value, START: start}]


def _entries(value: Any) -> list[tuple[Any, Any]] | str:
    """Texts and starts of either form."""
    if isinstance(value, dict) and "text" in value:
        texts, starts = value["text"], value.get(START)
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        if isinstance(texts, list) and starts is None:
            starts = [None] * len(texts)
        if not isinstance(texts, list) or not isinstance(starts, list):
            return f"text and {START} of answers must be lists"
        if len(texts) != len(starts):
            return f"{len(texts)} texts of answers, but {len(starts)} {START}"
        return list(zip(texts, starts, strict=True))
    if isinstance(value, list) and all(isinstance(e, dict) and "text" in e for e in value):
        return [(entry["text"], entry.get(START)) for entry in value]
    return f'answers are {shown(value)}; write {{"text": ["..."], "{START}": [0]}}'


def _checked(text: Any, start: Any, context: str) -> Answer | str:
    if not isinstance(text, str) or not text.strip():
        return f"an answer's text is {text!r}; it must say something"
    if start is None:
        count = context.count(text)
        if count == 1:
            return text, context.index(text)
        said = f"stands {count} times" if count else "does not stand"
        return f"the answer {shown(text)} {said} in the context; give {START}"
    if isinstance(start, bool) or not isinstance(start, int):
        return f"{START} is {start!r}; the number of the answer's first character is expected"
    if start >= 0 and context.startswith(text, start):
        return text, start
    there = shown(context[start : start + len(text)]) if 0 <= start < len(context) else "nothing"
    return (
        f"the answer {shown(text)} does not stand at character {start}, where {there} is"
        f"{_hint(text, start, context)}"
    )


def _hint(text: str, start: int, context: str) -> str:
    """How the offset may have been counted, or where the answer stands."""
    for encoding, width, unit in (("utf-8", 1, "bytes"), ("utf-16-le", 2, "UTF-16 units")):
        raw, wanted_ = context.encode(encoding), text.encode(encoding, "replace")
        if start > 0 and raw.startswith(wanted_, start * width):
            right = len(raw[: start * width].decode(encoding, "ignore"))
            return f"; it counts {unit}, and characters (code points) are expected: {right}"
    places = [place for place in range(len(context)) if context.startswith(text, place)]
    if not places:
        return "; the context does not hold it"
    return f"; it stands at {min(places, key=lambda place: abs(place - start))}"
