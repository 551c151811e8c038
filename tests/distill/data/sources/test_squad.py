"""SQuAD's JSON: what is read, and what is told where it cannot be."""

from __future__ import annotations

import gzip
import json

import pytest

from distill.data.sources.squad import read_squad
from distill.system.errors import DataError

ARTICLE = {
    "title": "Normans",
    "paragraphs": [
        {
            "context": "Normandy is in France.",
            "qas": [
                {
                    "id": "q1",
                    "question": "Where is Normandy?",
                    "answers": [{"text": "France", "answer_start": 15}],
                },
                {
                    "id": "q2",
                    "question": "Where is Mars?",
                    "is_impossible": True,
                    "answers": [],
                    "plausible_answers": [{"text": "France", "answer_start": 15}],
                },
            ],
        }
    ],
}


def write(tmp_path, content, name="dev.json"):
    path = tmp_path / name
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["dev.json", "dev.json.gz"])
def test_questions_are_read_in_order(tmp_path, name):
    table = read_squad(write(tmp_path, {"version": "v2.0", "data": [ARTICLE]}, name), [])
    assert table.columns == {
        "id": ["q1", "q2"],
        "question": ["Where is Normandy?", "Where is Mars?"],
        "context": ["Normandy is in France."] * 2,
        "answers": [[{"text": "France", "answer_start": 15}], []],
    }
    assert table.at(1) == f"{tmp_path / name}: question 'q2'"


def test_a_file_without_answers_has_no_such_column(tmp_path):
    question = {"id": "q", "question": "Who?"}
    content = {"data": [{"paragraphs": [{"context": "A film.", "qas": [question]}]}]}
    assert "answers" not in read_squad(write(tmp_path, content), []).columns


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"data": [\n}', r"dev.json:2: not JSON \(.*column 1\); rows with one object a line"),
        ("[1]", "no 'data' at the top; a .json file is read as SQuAD's"),
        ({"data": {}}, "dev.json: 'data' is no list"),
        ({"data": []}, "no questions"),
        ({"data": [1]}, r"data\[0\]: int instead of an object with 'paragraphs'"),
        ({"data": [{"title": "x"}]}, r"data\[0\]: has no 'paragraphs'"),
        ({"data": [{"paragraphs": [{"context": "x"}]}]}, r"paragraphs\[0\]: has no 'qas'"),
        (
            {"data": [{"paragraphs": [{"context": "x", "qas": ["q"]}]}]},
            r"data\[0\].paragraphs\[0\].qas\[0\]: not an object",
        ),
        (
            {
                "data": [
                    {
                        "paragraphs": [
                            {
                                "context": "x",
                                "qas": [{"id": "q", "is_impossible": True, "answers": [{}]}],
                            }
                        ]
                    }
                ]
            },
            r"qas\[0\]: is_impossible is true and there are answers",
        ),
    ],
)
def test_issues_are_told_with_their_place(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        read_squad(write(tmp_path, content), [])


def test_bytes_are_checked_as_in_every_text_file(tmp_path):
    path = tmp_path / "dev.json"
    path.write_bytes(b'{"data": [\n\xff]}')
    with pytest.raises(DataError, match=r"dev\.json:2: not UTF-8 at byte 11"):
        read_squad(path, [])
    path.write_bytes(b'{"data": \x00[]}')
    with pytest.raises(DataError, match="NUL byte at byte 9"):
        read_squad(path, [])
