"""Words with tags that cannot be used: refused with their place, or set aside and counted."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_rows import refused, refused_or_set_aside

from distill.data.split import TaskData
from distill.recipe.schema import Columns, DataConfig
from distill.system.errors import DataError
from distill.tasks.load import load_task_data
from distill.tasks.ner.config import NerTask

GOOD: list[dict[str, Any]] = [
    {"id": f"r{n}", "tokens": ["Ann", f"sings{n}"], "tags": ["B-person", "O"]} for n in range(20)
]


def row(**changes: Any) -> dict[str, Any]:
    return {"id": "x", "tokens": ["Ann", "Lee"], "tags": ["B-person", "I-person"]} | changes


#: What is wrong, the number of the word from 1 (0 for the whole row), and what is said of it.
FAULTS: list[tuple[dict[str, Any], int, str]] = [
    ({"tags": ["O"]}, 0, "2 words in 'tokens', but 1 tags in 'tags'; every word needs one"),
    ({"tags": ["O", "I-person"]}, 2, "'I-person' follows 'O', but goes on with an entity; fix it"),
    ({"tags": ["I-person", "O"]}, 1, "'I-person' comes first, but goes on with an entity"),
    ({"tags": ["O", "B-persn"]}, 2, "the tag 'B-persn' is unknown; types are 'person'; did you"),
    ({"tags": ["O", "person"]}, 2, "'person' is no tag of the scheme bio (B-TYPE, I-TYPE or O)"),
    ({"tags": ["O", "E-person"]}, 2, "write task.scheme: bioes"),
    ({"tags": ["O", None]}, 2, "the tag is missing; a name or an integer is expected"),
    ({"tags": None}, 0, "column 'tags' is missing; a list with one entry for each word is"),
    ({"tokens": None}, 0, "column 'tokens' is missing; a list with one entry for each word"),
    ({"tokens": ["Ann", ""]}, 2, "the word is empty; fix or remove it"),
    ({"tokens": ["Ann", None]}, 2, "the word is missing"),
    ({"tokens": ["A\0nn", "Lee"]}, 1, "the word holds a NUL character"),
    ({"id": "r3"}, 0, "the id 'r3' occurs twice, first at "),
    ({"id": None}, 0, "the id is missing in column 'id'"),
]
#: What a column of one type cannot hold.
MIXED: list[tuple[dict[str, Any], int, str]] = [
    ({"tokens": ["Ann", " "]}, 2, "the word is empty"),
    ({"tokens": ["Ann", "\ud83d"]}, 2, "the word holds half a surrogate pair"),
    ({"tokens": ["Ann", 3]}, 2, "the word holds int instead of text"),
    ({"tags": ["O", 2.5]}, 2, "the tag is 2.5; a name or an integer is expected"),
    ({"tags": ["O", 1]}, 2, "the tag '1' is unknown; types are 'person'"),
    ({"tokens": "Ann Lee"}, 0, "column 'tokens' holds 'Ann Lee'; a list with one entry for"),
    ({"tokens": "[1"}, 0, "column 'tokens' holds '[1'"),
]


def write_jsonl(path: Path, bad: dict[str, Any]) -> str:
    rows = [
        json.dumps({name: value for name, value in one.items() if value is not None})
        for one in (*GOOD[:10], bad, *GOOD[10:])
    ]
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return f"{path}:11"


def write_parquet(path: Path, bad: dict[str, Any]) -> str:
    pq.write_table(pa.Table.from_pylist([*GOOD[:10], bad, *GOOD[10:]]), path)
    return f"{path} row 11"


def load(path: Path, policy: str, **columns: str) -> TaskData:
    data = DataConfig(
        source="files", train=str(path), on_bad_row=policy, columns=Columns(**columns)
    )
    return load_task_data(data, NerTask(kind="ner", labels=["person"]), seed=0)


@pytest.mark.parametrize(
    ("write", "change", "word", "said"),
    [
        *((write_jsonl, *issue) for issue in [*FAULTS, *MIXED]),
        *((write_parquet, *issue) for issue in FAULTS),
    ],
)
def test_a_bad_row_is_refused_or_set_aside(
    tmp_path: Path, write: Any, change: dict[str, Any], word: int, said: str
) -> None:
    path = tmp_path / ("rows.jsonl" if write is write_jsonl else "rows.parquet")
    place = write(path, row(**change))
    at = f"{place}, word {word}" if word else place
    found = refused_or_set_aside(partial(load, id="id"), path, place, said, at=at)
    texts = [*found.train.texts, *found.validation.texts]
    assert sorted(texts) == sorted(" ".join(one["tokens"]) for one in GOOD)
    assert found.bad[0].reason.startswith(f"word {word}: " if word else said[:10])
    assert found.bad[0].content == row(**change)


def column_file(path: Path, bad: bytes, *, first: bool = False) -> int:
    """Twenty good sentences and a bad one, which begins at the line that is given back."""
    good = [b"".join(b"%s O\n" % word.encode() for word in one["tokens"]) for one in GOOD]
    good[-2:] = [b"Ann B-person\nLee I-person\n"] * 2
    before = [] if first else good[:10]
    path.write_bytes(b"\n".join([*before, bad, *good[len(before) :]]))
    return sum(one.count(b"\n") + 1 for one in before) + 1


@pytest.mark.parametrize(
    ("bad", "word", "said"),
    [
        (b"Ann O\nLee\n", 2, "1 field, but the first line has 2; a blank line separates sentences"),
        (b"Ann O\nLee x O\n", 2, "3 fields, but the first line has 2"),
        (b"Ann O\nLee I-person\n", 2, "'I-person' follows 'O', but goes on with an entity"),
        (b"Ann O\nLee B-x\n", 2, "the tag 'B-x' is unknown; types are 'person'"),
        (b"Ann O\nL\0ee O\n", 2, "a NUL byte at byte "),
        (b"Ann O\nL\xffee O\n", 2, "not UTF-8 at byte "),
    ],
)
def test_a_bad_sentence_of_a_column_file(tmp_path: Path, bad: bytes, word: int, said: str) -> None:
    path = tmp_path / "rows.conll"
    line = column_file(path, bad)
    assert refused(load, path).startswith(f"{path}:{line + word - 1}: {said}")
    found = load(path, "skip")
    assert len(found.train) + len(found.validation) == len(GOOD)
    assert len(found.bad) == 1
    assert found.bad[0].place in (f"{path}:{line}", f"{path}:{line + word - 1}")
    assert said in found.bad[0].reason
    assert "Ann" in str(found.bad[0].content)
    assert any("1 of 21 rows set aside as bad" in note for note in found.notes)


def test_a_bad_first_sentence_does_not_say_what_the_columns_are(tmp_path: Path) -> None:
    path = tmp_path / "rows.conll"
    column_file(path, b"Ann\nLee O\n", first=True)
    with pytest.raises(DataError, match=r"rows.conll:1: one column \('Ann'\); a word and its tag"):
        load(path, "refuse")
    assert [bad.content for bad in load(path, "skip").bad] == [["Ann", "Lee O"]]
