"""Questions with their answers: every form that is read, and every issue told with its place."""

from __future__ import annotations

import pytest

from distill.data.sources.table import Table
from distill.recipe.schema import Columns
from distill.system.errors import DataError
from distill.tasks.qa.config import QuestionTask
from distill.tasks.qa.data import QuestionReader

CONTEXT = "Normandy is in France, and France is in Europe."


def table(answers, *, context=CONTEXT, rows=1, **columns):
    found = {
        "question": ["Where is it?"] * rows,
        "context": [context] * rows,
        "answers": answers,
        **columns,
    }
    return Table("dev.jsonl", found, list(found), lines=list(range(1, rows + 1)))


def read(*args, no_answer=False, **changes):
    task = QuestionTask(kind="qa", no_answer=no_answer)
    return of(table(*args, **changes), task)


def of(rows, task):
    splits, _ = QuestionReader(Columns(), task).read({"dev": rows})
    return splits["dev"]


@pytest.mark.parametrize(
    "cell",
    [
        {"text": ["France", "Europe"], "answer_start": [15, 40]},
        [{"text": "France", "answer_start": 15}, {"text": "Europe", "answer_start": 40}],
        '{"text": ["France", "Europe"], "answer_start": [15, 40]}',
        '[{"text": "France", "answer_start": 15}, {"text": "Europe", "answer_start": 40}]',
    ],
)
def test_every_form_of_answers(cell):
    assert read([cell]).answers == [(("France", 15), ("Europe", 40))]


def test_an_answer_in_a_cell_of_text():
    assert read(["Europe"]).answers == [(("Europe", 40),)]
    assert read(["France"], answer_start=["27"]).answers == [(("France", 27),)]
    assert read(["France"], answer_start=[15]).answers == [(("France", 15),)]
    assert read(["[sic]"], context="It says [sic].").answers == [(("[sic]", 8),)]
    with pytest.raises(DataError, match="'France' stands 2 times in the context; give answer_star"):
        read(["France"])
    with pytest.raises(DataError, match="answer_start is 'x'"):
        read(["France"], answer_start=["x"])


@pytest.mark.parametrize(
    ("context", "start", "unit"),
    [
        ("\U0001f600\U0001f600 in France", 8, "UTF-16 units"),
        ("שלום France", 9, "bytes"),
        ("\U0001f600 in France", 8, "bytes"),
    ],
)
def test_offsets_that_count_something_else_are_recognised(context, start, unit):
    right = context.index("France")
    cell = {"text": ["France"], "answer_start": [start]}
    with pytest.raises(DataError, match=rf"it counts {unit}, and characters .* expected: {right}$"):
        read([cell], context=context)
    cell["answer_start"] = [right]
    assert read([cell], context=context).answers == [(("France", right),)]


def test_questions_without_an_answer_are_the_recipes_choice():
    none = {"text": [], "answer_start": []}
    assert read([none, "", []], rows=3, no_answer=True).answers == [(), (), ()]
    with pytest.raises(DataError, match=r"l:1: no answer; .*no_answer: true \(and 1 more row\)"):
        read([none, none], rows=2)
