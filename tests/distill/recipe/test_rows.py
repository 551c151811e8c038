from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from distill.recipe.rows import Rows, count_rows
from distill.recipe.schema import (
    ClassificationTask,
    Columns,
    DataConfig,
    NerTask,
    QuestionTask,
    TextTask,
    VectorsTask,
)

CLASSES = ClassificationTask(kind="classification")
QUESTIONS, TEXT = QuestionTask(kind="qa"), TextTask(kind="text")
VECTORS, ENTITIES = VectorsTask(kind="vectors"), NerTask(kind="ner")


def test_rows_of_files_are_counted(tmp_path: Path) -> None:
    line = '{"text": "' + "a" * 90 + '", "label": 0}\n'
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"
    plain.write_text(line * 40)
    packed.write_bytes(gzip.compress((line * 40).encode()))
    for path in (plain, packed):
        rows = count_rows(DataConfig(source="files", train=str(path), validation="b"), CLASSES)
        assert rows is not None
        assert rows.count == 40
        assert rows.tokens == pytest.approx(90 / 4.5 + 2 + 3.5, abs=1)
    assert count_rows(DataConfig(source="files", train=str(plain)), CLASSES) == Rows(
        36, rows.tokens
    )
    limited = DataConfig(
        source="files", train=str(plain), validation="b", limit_train=7, max_length=8
    )
    assert count_rows(limited, CLASSES) == Rows(7, 8.0)


def test_only_the_texts_of_a_row_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    row = {"a": "x" * 45, "b": "y" * 90, "label": 0, "source": "z" * 900}
    path.write_text(f"{json.dumps(row)}\n" * 20, "utf-8")
    columns = Columns(text="a", text_pair="b")
    data = DataConfig(source="files", train=str(path), validation="b", columns=columns)
    assert count_rows(data, CLASSES) == Rows(20, 135 / 4.5 + 2 + 3.5)


def test_rows_that_cannot_be_told(tmp_path: Path) -> None:
    broken = tmp_path / "a.csv.gz"
    broken.write_bytes(b"no gzip")
    empty = tmp_path / "a.csv"
    empty.write_text("")
    for path in (broken, empty, tmp_path / "none.csv", tmp_path / "a.parquet"):
        data = DataConfig(source="files", train=str(path), columns=Columns())
        assert count_rows(data, CLASSES) is None
    assert count_rows(DataConfig(source="hub", path="some/thing"), CLASSES) is None


def test_rows_of_known_data_sets() -> None:
    rows = count_rows(
        DataConfig(source="hub", path="nyu-mll/glue", subset="mrpc", validation="v"), CLASSES
    )
    assert rows is not None
    assert rows.count == 3668


def test_windows_of_questions_are_counted(tmp_path: Path) -> None:
    question = {"id": "q", "question": "q" * 45, "answers": []}
    texts = ["x" * 450, "x" * 4500]  # 100 and 1,000 tokens
    paragraphs = [{"context": text, "qas": [question]} for text in texts]
    path = tmp_path / "train.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"data": [{"paragraphs": paragraphs}]}).encode()))
    data = DataConfig(source="files", train=str(path), max_length=192)
    # The first is one window; of the second each goes on 192 - 13 - 64 = 115 tokens further.
    rows = count_rows(data, QUESTIONS)
    assert rows is not None
    assert rows.count == 1 + 1 + -(-(1013 - 192) // 115)
    assert 150 < rows.tokens <= 192
    limited = count_rows(data.model_copy(update={"limit_train": 1}), QUESTIONS)
    assert limited is not None
    assert limited.count == 5
    (tmp_path / "other.json").write_text("[1]", "utf-8")
    other = data.model_copy(update={"train": str(tmp_path / "other.json")})
    assert count_rows(other, QUESTIONS) is None


def test_plain_text_is_packed_into_full_rows(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "texts" / name).write_text("nine characters. " * 900, "utf-8")
    whole = count_rows(
        DataConfig(source="files", train=str(tmp_path / "texts"), max_length=64), TEXT
    )
    assert whole == Rows(round(2 * 17 * 900 / 4.5 / 64), 64.0)
    one = count_rows(
        DataConfig(source="files", train=[str(tmp_path / "texts" / "a.txt")], max_length=64), TEXT
    )
    assert one == Rows(round(17 * 900 / 4.5 / 64), 64.0)
    pattern = DataConfig(source="files", train=str(tmp_path / "*" / "*.txt"), max_length=64)
    assert count_rows(pattern, TEXT) == whole
    assert count_rows(DataConfig(source="files", train=str(tmp_path / "*.pdf")), TEXT) is None


def test_packed_text_and_json_lines_are_packed_into_full_rows_too(tmp_path: Path) -> None:
    text = "nine characters. " * 900
    plain, packed, lines = (tmp_path / f"a{end}" for end in (".txt", ".txt.gz", ".jsonl.gz"))
    plain.write_text(text, "utf-8")
    packed.write_bytes(gzip.compress(text.encode()))
    row = json.dumps({"text": "nine characters. " * 9, "source": "x" * 999})
    lines.write_bytes(gzip.compress(f"{row}\n".encode() * 100))
    found = [
        count_rows(DataConfig(source="files", train=str(path), max_length=64), TEXT)
        for path in (plain, packed, lines)
    ]
    assert found == [Rows(round(17 * 900 / 4.5 / 64), 64.0)] * 3


def test_of_pairs_that_get_vectors_each_text_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(f'{{"a": "{"x" * 45}", "b": "{"y" * 90}"}}\n' * 20, "utf-8")
    columns = Columns(text="a", text_pair="b")
    data = DataConfig(source="files", train=str(path), validation="b", columns=columns)
    assert count_rows(data, VECTORS) == Rows(40, 67.5 / 4.5 + 1.5 + 3.5)
    assert count_rows(data.model_copy(update={"limit_train": 5}), VECTORS) == Rows(10, 20.0)
    single = data.model_copy(update={"columns": Columns(text="a")})
    assert count_rows(single, VECTORS) == Rows(20, 45 / 4.5 + 2 + 3.5)
    known = DataConfig(source="hub", path="nyu-mll/glue", subset="stsb", columns=columns)
    rows = count_rows(known, VECTORS)
    assert rows is not None
    assert rows.count == 2 * 5749


def test_words_with_tags_are_counted_by_sentences(tmp_path: Path) -> None:
    table, columns = tmp_path / "a.jsonl", tmp_path / "a.conll"
    table.write_text('{"tokens": ["four", "four"], "tags": ["O", "O"]}\n' * 30)
    columns.write_text("four O\nfour O\n\n" * 30)
    data = DataConfig(source="files", train=str(table), validation="b")
    assert count_rows(data, ENTITIES) == Rows(30, 10 / 4.5 + 2 + 3.5)
    rows = count_rows(data.model_copy(update={"train": str(columns)}), ENTITIES)
    assert rows is not None
    assert rows.count == 30
