"""Questions that cannot be used: refused with their place, or set aside as they are and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_rows import refused_or_set_aside

from distill.data.split import TaskData
from distill.recipe.schema import DataConfig
from distill.tasks.load import load_task_data
from distill.tasks.qa.config import QuestionTask
from distill.tasks.qa.windows import QuestionSplit

CONTEXT = "Normandy is in France."
AT = 15


def row(**changes: Any) -> dict[str, Any]:
    answers = [{"text": "France", "answer_start": AT}]
    return {"id": "x", "question": "Where?", "context": CONTEXT, "answers": answers} | changes


GOOD = [row(id=f"q{number}", question=f"Where is number {number}?") for number in range(20)]


def answer(text: str, start: Any) -> list[dict[str, Any]]:
    return [{"text": text, "answer_start": start}]


#: What is wrong, and what is said of it; ``None`` leaves the field out.
FAULTS: list[tuple[dict[str, Any], str]] = [
    (
        {"answers": answer("France", 14)},
        "does not stand at character 14, where ' Franc' is; it stands at 15",
    ),
    ({"answers": answer("Spain", 0)}, "where 'Norma' is; the context does not hold it"),
    ({"answers": answer("", 3)}, "an answer's text is ''; it must say something"),
    ({"answers": answer("France", "15")}, "answer_start is '15'; the number of the answer's first"),
    ({"answers": None}, "answers are missing; write an empty list where nothing answers"),
    ({"answers": []}, "no answer; where a text need not answer its question, write task.no_answer"),
    ({"question": " "}, "column 'question' is empty"),
    ({"question": None}, "column 'question' is missing"),
    ({"question": 7}, "column 'question' holds int instead of text"),
    ({"question": "a\0b?"}, "column 'question' holds a NUL character"),
    ({"context": ""}, "column 'context' is empty"),
    ({"context": None}, "column 'context' is missing"),
    ({"context": "in\0France"}, "column 'context' holds a NUL character"),
    ({"id": "q3"}, "the id 'q3' occurs twice, first at "),
    ({"id": None}, "the id is missing in column 'id'"),
]


def told(found: dict[str, Any]) -> dict[str, Any]:
    """The row without the fields that are left out."""
    return {name: value for name, value in found.items() if value is not None}


def write_jsonl(path: Path, bad: dict[str, Any]) -> str:
    rows = [json.dumps(told(one)) for one in (*GOOD[:10], bad, *GOOD[10:])]
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return f"{path}:11"


def write_squad(path: Path, bad: dict[str, Any]) -> str:
    """The bad question has a paragraph of its own."""
    own = ("id", "question", "answers")
    paragraphs = [
        told({"context": context, "qas": [told({key: one[key] for key in own}) for one in qas]})
        for context, qas in ((CONTEXT, GOOD), (bad["context"], [bad]))
    ]
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), "utf-8")
    place = "data[0].paragraphs[1].qas[0]"
    if bad["id"] is None:
        return f"{path}: {place}"
    return f"{path}: question '{bad['id']}'" + (f" ({place})" if bad["id"] == "q3" else "")


def write_parquet(path: Path, bad: dict[str, Any]) -> str:
    # Answers as JSON: a column of Parquet has one type.
    rows = [
        one | {"answers": None if one["answers"] is None else json.dumps(one["answers"])}
        for one in (*GOOD[:10], bad, *GOOD[10:])
    ]
    if isinstance(bad["question"], int):
        pytest.skip("a column of Parquet has one type")
    pq.write_table(pa.Table.from_pylist(rows), path)
    return f"{path} row 11"


WRITERS = {"jsonl": write_jsonl, "json": write_squad, "parquet": write_parquet}


def load(path: Path, policy: str) -> TaskData:
    data = DataConfig(source="files", train=str(path), on_bad_row=policy)
    return load_task_data(data, QuestionTask(kind="qa"), seed=0)


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_a_bad_question_is_refused_or_set_aside(
    tmp_path: Path, ending: str, change: dict[str, Any], said: str
) -> None:
    path = tmp_path / f"rows.{ending}"
    place = WRITERS[ending](path, row(**change))
    found = refused_or_set_aside(load, path, place, said)
    assert isinstance(found.train, QuestionSplit)
    assert isinstance(found.validation, QuestionSplit)
    assert sorted([*found.train.ids, *found.validation.ids]) == sorted(str(r["id"]) for r in GOOD)
    kept = found.bad[0].content
    same = ("id", "question", "context")
    assert {key: kept[key] for key in same} == {key: row(**change)[key] for key in same}


def squad(tmp_path: Path, *, articles: list[Any], extra: list[Any], qas: list[Any]) -> Path:
    """A file with a good paragraph, and what else is given at each level."""
    paragraph = {"context": CONTEXT, "qas": [*GOOD, *qas]}
    path = tmp_path / "dev.json"
    content = {"data": [{"paragraphs": [paragraph, *extra]}, *articles]}
    path.write_text(json.dumps(content), "utf-8")
    return path


_BOTH = row(is_impossible=True)


@pytest.mark.parametrize(
    ("where", "bad", "place", "said"),
    [
        ("articles", {"title": "x"}, "data[1]", "has no 'paragraphs'"),
        ("articles", 7, "data[1]", "int instead of an object with 'paragraphs'"),
        ("extra", {"context": "x"}, "data[0].paragraphs[1]", "has no 'qas'; SQuAD's form is data,"),
        ("extra", {"qas": 1}, "data[0].paragraphs[1]", "'qas' is no list"),
        ("qas", "Who?", "data[0].paragraphs[0].qas[20]", "not an object but str"),
        ("qas", _BOTH, "data[0].paragraphs[0].qas[20]", "is_impossible is true and there are"),
    ],
)
def test_broken_parts_of_a_nested_file(
    tmp_path: Path, where: str, bad: Any, place: str, said: str
) -> None:
    parts: dict[str, list[Any]] = {"articles": [], "extra": [], "qas": []}
    path = squad(tmp_path, **{**parts, where: [bad]})
    found = refused_or_set_aside(load, path, f"{path}: {place}", said)
    assert len(found.train) + len(found.validation) == len(GOOD)
    assert found.bad[0].content == bad
