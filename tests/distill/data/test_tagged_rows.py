from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distill.data.bad_rows import BadRows
from distill.data.sources.table import Table
from distill.recipe.schema import Columns
from distill.system.errors import DataError
from distill.tasks.ner.config import NerTask
from distill.tasks.ner.data import TagReader


def table(
    rows: list[tuple[Any, Any]], *, names: tuple[str, ...] | None = None, place: str = "rows.jsonl"
) -> Table:
    columns = {"tokens": [row[0] for row in rows], "tags": [row[1] for row in rows]}
    lines = list(range(1, len(rows) + 1))
    return Table(place, columns, ["tokens", "tags"], lines, label_names=names)


def read(given: Table, notes: list[str] | None = None, **task: Any) -> Any:
    config = NerTask(kind="ner", **task)
    notes = [] if notes is None else notes
    return splits_of({"train": given}, config, notes)["train"]


def splits_of(
    tables: dict[str, Table], task: NerTask, notes: list[str], bad: BadRows | None = None
) -> Any:
    reader = TagReader(Columns(), task, bad)
    splits, _ = reader.read(tables)
    notes += reader.notes
    return splits


GOOD = (["Ann", "Lee", "sings"], ["B-person", "I-person", "O"])


def test_tags_that_a_type_lacks_are_added_and_told() -> None:
    notes: list[str] = []
    found = read(table([GOOD]), notes, labels=["B-person", "O", "B-place", "I-person"])
    assert found.tag_set.labels == ("B-person", "O", "B-place", "I-person", "I-place")
    assert notes == [
        "task.labels: 'I-place' added, so that every type has all tags",
        "rows.jsonl: no row has an entity of the type 'place'",
    ]


@pytest.mark.parametrize("how", ["carried", "given", "beside"])
def test_integers_get_names(how: str, tmp_path: Path) -> None:
    names = ("B-person", "I-person", "O")
    place = str(tmp_path / "rows.jsonl")
    if how != "given":
        content = names if how == "beside" else ["O"]  # what the data carry comes first
        (tmp_path / "labels.json").write_text(json.dumps(content))
    given = table([(["Ann", "Lee", "sings"], [0, 1, 2])], place=place)
    if how == "carried":
        given = table([(["Ann", "Lee", "sings"], [0, 1, 2])], names=names)
    found = read(given, labels=list(names) if how == "given" else None)
    assert found.entities(0) == [(0, 0, 7)]
    assert found.tag_set.labels == names


@pytest.mark.parametrize("how", ["carried", "beside"])
def test_integers_keep_their_names_in_files_of_another_order(how: str, tmp_path: Path) -> None:
    orders = {"train": ("O", "B-person", "I-person"), "validation": ("B-person", "I-person", "O")}
    tags = {"train": [1, 2, 0], "validation": [0, 1, 2]}
    tables = {}
    for role, names in orders.items():
        (tmp_path / role).mkdir()
        place = str(tmp_path / role / "rows.jsonl")
        if how == "beside":
            (tmp_path / role / "labels.json").write_text(json.dumps(names))
        row = (["Ann", "Lee", "sings"], tags[role])
        tables[role] = table([row], place=place, names=names if how == "carried" else None)
    notes: list[str] = []
    found = splits_of(tables, NerTask(kind="ner"), notes)
    assert found["validation"].labels == found["train"].labels == [[1, 2, 0]]
    assert notes == []


def test_integers_are_positions_in_the_recipe_s_tags_and_that_is_noted() -> None:
    notes: list[str] = []
    found = read(table([(["Ann", "Lee", "sings"], [1, 2, 0])]), notes, labels=["person"])
    assert found.entities(0) == [(0, 0, 7)]
    assert notes == [
        "rows.jsonl: integers are read as positions in the tags: "
        "0 is 'O', 1 is 'B-person', 2 is 'I-person'"
    ]


def test_bioes_is_read() -> None:
    rows = [(["Ann", "Lee", "in", "Rome"], ["B-person", "E-person", "O", "S-place"])]
    found = read(table(rows), scheme="bioes")
    assert found.entities(0) == [(0, 0, 7), (1, 11, 15)]
    assert len(found.tag_set.labels) == 9


def test_rows_without_words_are_left_out_and_told() -> None:
    notes: list[str] = []
    assert len(read(table([([], []), GOOD]), notes)) == 1
    assert notes == ["rows.jsonl: 1 examples without words are left out"]
    with pytest.raises(DataError, match=r"rows\.jsonl:3, word 2: the tag 'B-x' is unknown"):
        read(table([([], []), GOOD, (["a", "b"], ["O", "B-x"])]), labels=["person"])


def test_illegal_sequences_are_repaired_where_asked() -> None:
    notes: list[str] = []
    found = read(table([(["Ann", "Lee"], ["I-person", "I-person"]), GOOD]), notes, repair=True)
    assert found.labels == [[1, 2], [1, 2, 0]]
    assert notes == ["rows.jsonl: illegal tags of 1 examples are repaired"]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([(["a"], ["O"])], "no tag but 'O'"),
        ([([], [])], "no example has a word"),
        ([(["a"], [1])], "tags are integers without names"),
    ],
)
def test_data_without_entities_are_refused(rows: list[tuple[Any, Any]], what: str) -> None:
    with pytest.raises(DataError, match=what):
        read(table(rows))


def test_types_that_training_lacks_are_unknown() -> None:
    tables = {"train": table([GOOD]), "validation": table([(["Rome"], ["B-place"])])}
    with pytest.raises(DataError, match="'B-place' is unknown; types are 'person'"):
        splits_of(tables, NerTask(kind="ner"), [])
    task = NerTask(kind="ner", labels=["person", "place"])
    assert splits_of(tables, task, [])["validation"].labels == [[3]]
