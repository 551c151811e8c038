"""SQuAD's JSON: what is read, and what is told where it cannot be."""

from __future__ import annotations

import gzip
import json

import pytest

from distill.data.sources.squad import read_squad

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
