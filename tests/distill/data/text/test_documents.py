from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from distill.data.text.documents import LINES, FileSource, RowSource, find_files
from distill.system.errors import DataError


def documents(source: FileSource | RowSource) -> list[list[str]]:
    return [document for _, document in source.documents()]


def test_blank_lines_and_file_ends_part_documents(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt.gz"
    first.write_text("\n\none\n two \n\n\nthree\n", "utf-8")
    second.write_bytes(gzip.compress("\ufefffour\r\nfünf".encode()))
    source = FileSource([first, second])
    assert documents(source) == [["one", "two"], ["three"], ["four", "fünf"]]
    assert documents(source) == documents(source)
    reached = [at for at, _ in source.documents()]
    assert reached == sorted(reached)
    assert reached[-1] == source.size


def test_a_long_document_is_parted(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("".join(f"line {n}\n" for n in range(2 * LINES + 5)), "utf-8")
    found = documents(FileSource([path]))
    assert [len(document) for document in found] == [LINES, LINES, 5]
    assert [line for document in found for line in document] == [
        f"line {n}" for n in range(2 * LINES + 5)
    ]


def test_a_line_without_end_is_parted_at_spaces(tmp_path: Path) -> None:
    path = tmp_path / "line.txt"
    words = [f"word{n}" for n in range(40_000)]
    path.write_text(" ".join(words), "utf-8")
    lines = [line for document in documents(FileSource([path])) for line in document]
    assert len(lines) > 1
    assert max(map(len, lines)) <= 2 << 16
    assert " ".join(lines).split() == words


def test_rows_of_json_lines_are_documents(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"body": "one\\ntwo"}\n\n{"body": ""}\n{"body": "three"}\n', "utf-8")
    assert documents(FileSource([path], "body")) == [["one", "two"], ["three"]]
    with pytest.raises(DataError, match=r"rows.jsonl:1: no text under 'text'; its keys are 'body'"):
        documents(FileSource([path]))
    assert FileSource([path]).digest() != FileSource([path], "body").digest()


def test_rows_of_a_data_set() -> None:
    source = RowSource("docs", ["one\n\ntwo", "three"], "f", 2)
    assert documents(source) == [["one", "two"], ["three"]]
    with pytest.raises(DataError, match="docs: row 1 holds no text"):
        documents(RowSource("docs", [None], "f", 1))


def test_files_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("x/b.txt", "x/deep/a.txt.gz", "x/ignored.md", "c.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text", "utf-8")

    def names(*wanted: str) -> list[str]:
        files = find_files([str(tmp_path / one) for one in wanted], key="data.train")
        return [path.relative_to(tmp_path).as_posix() for path in files]

    assert names("x") == ["x/b.txt", "x/deep/a.txt.gz"]
    assert names("x/*.txt", "x", "c.jsonl") == ["x/b.txt", "x/deep/a.txt.gz", "c.jsonl"]
    assert find_files(str(tmp_path / "x"), key="data.train")[0].name == "b.txt"
    with pytest.raises(DataError, match=r"data.train: no file .*/y.txt; write a"):
        names("y.txt")
    with pytest.raises(DataError, match=r"ignored.md: unknown kind of file; text is read from"):
        names("x/ignored.md")
