"""Counting rows without loading them: exact where a file is small, told from a part elsewhere."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from distill.recipe import file_rows
from distill.recipe.file_rows import rows_of, text_of


def words(seed: int) -> str:
    draw = random.Random(seed)
    return " ".join(str(draw.randrange(10**6)) for _ in range(12))


@pytest.fixture
def lines() -> list[str]:
    return [json.dumps({"text": words(seed)}) + "\n" for seed in range(4000)]


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_behind_the_limit_is_like_what_is_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], packed: bool
) -> None:
    content = "".join(lines).encode()
    path = tmp_path / ("a.jsonl.gz" if packed else "a.jsonl")
    path.write_bytes(gzip.compress(content) if packed else content)
    whole = rows_of(path, ["text"])
    assert whole is not None
    assert whole.count == 4000
    monkeypatch.setattr(file_rows, "_READ", len(content) // 4)
    monkeypatch.setattr(file_rows, "_CHUNK", 1 << 14)
    part = rows_of(path, ["text"])
    assert part is not None
    assert part.count == pytest.approx(4000, rel=0.1 if packed else 0.01)
    assert part.characters == pytest.approx(whole.characters, rel=0.05)


def test_rows_may_stand_in_the_order_of_their_length(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": "x" * (n // 10)}) + "\n" for n in range(4000)))
    rows = rows_of(path, ["text"])
    assert rows is not None
    assert rows.characters == pytest.approx(200, rel=0.02)


def test_the_last_line_needs_no_end_and_a_table_has_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "some words,0\n" * 9 + "some words,0")
    rows = rows_of(path, ["text"])
    assert rows is not None
    assert rows.count == 10


def test_a_parquet_file_tells_its_own_numbers(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    texts = [words(seed) for seed in range(3000)]
    table = pa.table({"text": texts, "other": ["x" * 500] * 3000, "label": [0, 1] * 1500})
    path = tmp_path / "a.parquet"
    for options in ({}, {"compression": "zstd", "row_group_size": 700, "use_dictionary": False}):
        pq.write_table(table, path, **options)
        rows = rows_of(path, ["text"])
        assert rows is not None
        assert rows.count == 3000
        mean = sum(map(len, texts)) / 3000
        assert rows.characters == pytest.approx(mean, rel=0.1)


def test_other_files_are_left_to_their_readers(tmp_path: Path) -> None:
    for name, content in (
        ("a.txt", b"x\n"),
        ("a.csv.gz", b"no gzip"),
        ("a.parquet", b"PAR1 no numbers \xff\xff\x00\x00PAR1"),
        ("b.parquet", b""),
        ("c.parquet", b"PAR1\x15\x02\x19\x04\x00\x00\x00PAR1"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert rows_of(path, ["text"]) is None
    assert rows_of(tmp_path / "none.jsonl", ["text"]) is None
    assert text_of(tmp_path / "a.csv.gz", "text") is None
