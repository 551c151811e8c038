from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from distill.recipe.rows import Rows, count_rows
from distill.recipe.schema import Columns, DataConfig


def test_rows_of_files_are_counted(tmp_path: Path) -> None:
    line = '{"text": "' + "a" * 90 + '", "label": 0}\n'
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"
    plain.write_text(line * 40)
    packed.write_bytes(gzip.compress((line * 40).encode()))
    for path in (plain, packed):
        rows = count_rows(DataConfig(source="files", train=str(path), validation="b"))
        assert rows is not None
        assert rows.count == 40
        assert rows.tokens == pytest.approx(90 / 4.5 + 2 + 3.5, abs=1)
    assert count_rows(DataConfig(source="files", train=str(plain))) == Rows(36, rows.tokens)
    limited = DataConfig(
        source="files", train=str(plain), validation="b", limit_train=7, max_length=8
    )
    assert count_rows(limited) == Rows(7, 8.0)


def test_only_the_texts_of_a_row_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    row = {"a": "x" * 45, "b": "y" * 90, "label": 0, "source": "z" * 900}
    path.write_text(f"{json.dumps(row)}\n" * 20, "utf-8")
    columns = Columns(text="a", text_pair="b")
    data = DataConfig(source="files", train=str(path), validation="b", columns=columns)
    assert count_rows(data) == Rows(20, 135 / 4.5 + 2 + 3.5)


def test_rows_that_cannot_be_told(tmp_path: Path) -> None:
    broken = tmp_path / "a.csv.gz"
    broken.write_bytes(b"no gzip")
    empty = tmp_path / "a.csv"
    empty.write_text("")
    for path in (broken, empty, tmp_path / "none.csv", tmp_path / "a.parquet"):
        data = DataConfig(source="files", train=str(path), columns=Columns())
        assert count_rows(data) is None
    assert count_rows(DataConfig(source="hub", path="some/thing")) is None


def test_rows_of_known_data_sets() -> None:
    rows = count_rows(DataConfig(source="hub", path="nyu-mll/glue", subset="mrpc", validation="v"))
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
    rows = count_rows(data)
    assert rows is not None
    assert rows.count == 1 + 1 + -(-(1013 - 192) // 115)
    assert 150 < rows.tokens <= 192
    limited = count_rows(data.model_copy(update={"limit_train": 1}))
    assert limited is not None
    assert limited.count == 5
    (tmp_path / "other.json").write_text("[1]", "utf-8")
    other = data.model_copy(update={"train": str(tmp_path / "other.json")})
    assert count_rows(other) is None


def test_plain_text_is_packed_into_full_rows(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "texts" / name).write_text("nine characters. " * 900, "utf-8")
    whole = count_rows(DataConfig(source="files", train=str(tmp_path / "texts"), max_length=64))
    assert whole == Rows(round(2 * 17 * 900 / 4.5 / 64), 64.0)
    one = count_rows(
        DataConfig(source="files", train=[str(tmp_path / "texts" / "a.txt")], max_length=64)
    )
    assert one == Rows(round(17 * 900 / 4.5 / 64), 64.0)
    assert count_rows(DataConfig(source="files", train=str(tmp_path / "texts" / "*"))) is None
