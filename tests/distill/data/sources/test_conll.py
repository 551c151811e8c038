from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from distill.data.sources.conll import read_conll
from distill.recipe.schema import DataConfig
from distill.system.errors import DataError
from distill.tasks.load import load_task_data
from distill.tasks.ner.config import NerTask

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
    assert list(table.lines) == [3, 7]
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


@pytest.mark.parametrize("separator", ["\t", " ", " _ _ "])
@pytest.mark.parametrize(
    "word", ["#text", "#id", "#sent_id", "#newdoc", "#", "#1", "%%", "//", "-DOCSTART-", '"', "NA"]
)
def test_a_line_with_a_tag_is_a_word(tmp_path: Path, word: str, separator: str) -> None:
    lines = [(word, "B-LOC"), ("by", "O"), ("", ""), (word, "B-PER")]
    text = "".join(f"{a}{separator if b else ''}{b}\n" for a, b in lines)
    table = read_conll(write(tmp_path, text), WANTED)
    assert table.columns["tokens"] == [[word, "by"], [word]]
    assert list(table.lines) == [1, 4]
    if word != "-DOCSTART-":  # with this tag it parts documents, as in CoNLL's own files
        assert read_conll(write(tmp_path, f"{word}{separator}O\n"), WANTED).columns["tags"] == [
            ["O"]
        ]


def test_a_file_of_one_sentence_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    path, task = write(tmp_path, "Anna B-PER\nlives O\n" * 18), NerTask(kind="ner")
    data = DataConfig(source="files", train=str(path))
    with pytest.raises(DataError, match=r"the file is one sentence \(no blank line parts its lin"):
        load_task_data(data, task, seed=0)
    both = data.model_copy(update={"validation": str(path)})
    assert len(load_task_data(both, task, seed=0).train) == 1


def test_a_file_of_blank_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sentences"):
        read_conll(write(tmp_path, "\n\n-DOCSTART- O\n"), WANTED)
