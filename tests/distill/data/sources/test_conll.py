from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from distill.data.sources.conll import read_conll
from distill.errors import DataError

WANTED = ["tokens", "tags"]


def write(tmp_path: Path, text: str, name: str = "rows.conll") -> Path:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_words_and_tags_are_the_first_and_last_column(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\nPeter NNP I-NP B-PER\n"
    table = read_conll(write(tmp_path, text), WANTED)
    assert table.columns == {
        "tokens": [["EU", "rejects"], ["Peter"]],
        "tags": [["B-ORG", "O"], ["B-PER"]],
    }
    assert table.lines == [3, 7]
    assert table.at(0, 1).endswith("rows.conll:4")


def test_other_columns_go_by_number(tmp_path: Path) -> None:
    table = read_conll(write(tmp_path, "EU NNP B-NP B-ORG\n"), ["1", "3"])
    assert table.columns == {"1": [["EU"]], "3": [["B-NP"]]}
    assert table.available == ["1", "2", "3", "4", "tokens", "tags"]


def test_tabs_part_words_that_hold_spaces(tmp_path: Path) -> None:
    path = write(tmp_path, "New York\tB-location\r\n:)\tO\r\n \t \r\n#\tO\n", "rows.txt.gz")
    table = read_conll(path, WANTED)
    assert table.columns["tokens"] == [["New York", ":)"], ["#"]]


def test_comments_are_left_out_and_hash_words_are_not(tmp_path: Path) -> None:
    text = "# id 123 domain=en\n#one O\n# O\n\n# sent_id = 2\nid O\n"
    table = read_conll(write(tmp_path, text), WANTED)
    assert table.columns["tokens"] == [["#one", "#"], ["id"]]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("EU B-ORG\nrejects\n", 2, "1 field, but the first line has 2"),
        ("EU B-ORG\n\na b O\n", 3, "3 fields, but the first line has 2"),
        ("\nEU\n", 2, "one column ('EU')"),
        ("a O\nb\0 O\n", 2, "a NUL byte"),
    ],
)
def test_faults_are_told_with_their_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as error:
        read_conll(path, WANTED)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert what in str(error.value)


def test_a_file_of_blank_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sentences"):
        read_conll(write(tmp_path, "\n\n-DOCSTART- O\n"), WANTED)
