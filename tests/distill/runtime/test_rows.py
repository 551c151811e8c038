import gzip
import io
import tracemalloc

import pytest

from distill.runtime.rows import Row, Wanted, read_rows
from distill.system.errors import DataError


def write(tmp_path, name, content):
    path = tmp_path / name
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return str(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", '{"sentence": "one"}', ["one"]),
        ("a.json", '{"text": "one"}', ["one"]),
        ("a.tsv.gz", "sentence\tlabel\nit is good\t1\n", ["it is good"]),
        ("a.txt.gz", "one\n\n two \n", ["one", "", " two "]),
        ("plain", "one\r\ntwo", ["one", "two"]),
    ],
)
def test_formats(tmp_path, name, content, expected):
    assert [row.text for row in read_rows(write(tmp_path, name, content))] == expected


def test_standard_input(monkeypatch):
    class Given:
        buffer = io.BytesIO(b"one\ntwo\n")

    monkeypatch.setattr("sys.stdin", Given)
    assert list(read_rows("-")) == [Row("one"), Row("two")]
    Given.buffer = io.BytesIO(b'{"t": "one"}\n')
    assert list(read_rows("-", Wanted(column="t"))) == [Row("one")]
    Given.buffer = io.BytesIO(b"one\n\xff\n")
    with pytest.raises(DataError, match="standard input:2: not UTF-8"):
        list(read_rows("-"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1, "b": 2}', r"a\.jsonl:1: no column 'text'; columns are 'a', 'b'; "),
        ("a.jsonl", '{"text": 1}', r"a\.jsonl:1: 'text' is 1, not a text"),
        ("a.jsonl", '{"text": null}', r"a\.jsonl:1: 'text' is null, not a text"),
        ("a.jsonl", '{"text": "\\ud800"}', r"a\.jsonl:1: 'text' is not valid Unicode"),
        ("a.csv", "a,b\n1,2\n", r"a\.csv:1: no column 'text'; columns are 'a', 'b'; "),
        ("a.txt", b"a\nbc\xff\n", r"a\.txt:2: not UTF-8 at byte 4 \(0xff\)"),
    ],
)
def test_issues_are_told_with_their_line(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message) as told:
        list(read_rows(write(tmp_path, name, content)))
    assert "\n" not in str(told.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        list(read_rows(str(tmp_path / "none.csv")))
    with pytest.raises(DataError, match="a folder, not a file"):
        list(read_rows(str(tmp_path)))
    with pytest.raises(DataError, match="has no columns"):
        list(read_rows(write(tmp_path, "a.txt", "a"), Wanted(column="text")))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_a_large_file_is_never_held(tmp_path, name):
    line = {"a.jsonl": '{"text": "some words"}\n', "a.csv": "some words\n", "a.txt": "some words\n"}
    head = "text\n" if name == "a.csv" else ""
    path = write(tmp_path, name, head + line[name] * 50_000)
    tracemalloc.start()
    count = sum(1 for _ in read_rows(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 300_000
