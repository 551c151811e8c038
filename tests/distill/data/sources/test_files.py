import gzip
import os

import pytest

from distill.data.bad_rows import BadRows
from distill.data.sources import files
from distill.data.sources.files import read_files
from distill.files.bad_rows import BadRowError
from distill.recipe.schema import DataConfig
from distill.system.errors import DataError

WANTED = ["text", "label"]
ROWS = [("a good film", "pos"), ('he said "no, never"', "neg"), ("ein schöner Tag — 好", "pos")]


def read(path, wanted=WANTED, **others):
    names = {role: str(name) for role, name in others.items()}
    return read_files(DataConfig(source="files", train=str(path), **names), wanted)


def issue(path, **others):
    with pytest.raises(DataError) as error:
        read(path, **others)
    message = str(error.value)
    assert "\n" not in message
    return message


def csv_of(rows):
    import csv
    import io

    file = io.StringIO()
    csv.writer(file).writerows([("text", "label"), *rows])
    return file.getvalue()


def test_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "train.parquet"
    texts, labels = zip(*ROWS, strict=True)
    pq.write_table(pa.table({"id": [1, 2, 3], "text": texts, "label": labels}), path)
    table = read(path)["train"]
    assert table.columns == {"text": list(texts), "label": list(labels)}
    assert list(table.available) == ["id", "text", "label"]
    assert table.at(1) == f"{path} row 2"
    assert table.label_names is None


@pytest.fixture
def saved(tmp_path):
    """A factory of saved datasets: rows by split, or one list for a single Dataset."""
    import datasets

    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["neg", "pos"])
    )

    def make(pairs):
        columns = {"text": [text for text, _ in pairs], "label": [label for _, label in pairs]}
        return datasets.Dataset.from_dict(columns, features=features)

    def save(rows):
        folder = tmp_path / "saved"
        whole = (
            make(rows)
            if isinstance(rows, list)
            else datasets.DatasetDict({name: make(pairs) for name, pairs in rows.items()})
        )
        whole.save_to_disk(folder)
        return folder, whole

    return save


def test_saved_dataset(saved):
    folder, _ = saved([("a good film", 1), ("a bad film", 0)])
    table = read(folder)["train"]
    assert table.columns == {"text": ["a good film", "a bad film"], "label": [1, 0]}
    assert table.label_names == ("neg", "pos")


def test_saved_dataset_dict_serves_all_splits(saved):
    folder, _ = saved({"train": [("one", 1), ("two", 0)], "dev": [("three", 0)]})
    tables = read(folder)
    assert {role: table.columns["text"] for role, table in tables.items()} == {
        "train": ["one", "two"],
        "validation": ["three"],
    }
    assert read(folder / "dev", validation=folder)["validation"].columns["text"] == ["three"]


def test_parquet_of_datasets_carries_label_names(saved, tmp_path):
    _, whole = saved([("a good film", 1), ("a bad film", 0)])
    path = tmp_path / "train.parquet"
    whole.to_parquet(path)
    assert read(path)["train"].label_names == ("neg", "pos")


def test_saved_dataset_dict_without_the_split(saved):
    folder, _ = saved({"left": [("one", 1)], "right": [("two", 0)]})
    assert issue(folder) == (
        f"{folder}: no 'train' split; splits are 'left', 'right'; write the split's own folder, "
        "which lies in it"
    )


def test_damaged_saved_dataset(saved):
    folder, _ = saved([("one", 1)])
    next(folder.glob("*.arrow")).write_bytes(b"nothing of the kind")
    assert issue(folder).startswith(f"{folder}: not a whole saved data set (")


def test_a_field_longer_than_the_csv_modules_limit(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(f"text,label\n{'word ' * 40_000},pos\nshort,neg\n")
    assert len(read(path)["train"].columns["text"][0]) == 200_000


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", "", "{}: the file is empty; it needs examples to learn from"),
        ("t.csv", "text,label\n", "{}: a header and no rows; it needs examples to learn from"),
        ("t.jsonl", "\n \n", "{}: only blank lines; it needs examples to learn from"),
    ],
)
def test_files_without_rows(tmp_path, name, content, expected):
    path = write(tmp_path, name, content)
    assert issue(path) == expected.format(path)


def test_cut_gzip(tmp_path):
    whole = gzip.compress(csv_of(ROWS * 50).encode())
    path = write(tmp_path, "t.csv.gz", whole[:-20])
    assert issue(path).startswith(f"{path}:")
    assert "not a whole gzip file" in issue(path)
    plain = write(tmp_path, "u.csv.gz", csv_of(ROWS))
    assert issue(plain).startswith(f"{plain}:1: not a whole gzip file (Not a gzipped file")


def test_wrong_parquet(tmp_path):
    path = write(tmp_path, "t.parquet", b"PAR1 and then nothing PAR1")
    assert issue(path).startswith(f"{path}: not a whole Parquet file (")


def test_missing_file_suggests_a_near_name(tmp_path):
    write(tmp_path, "train.csv", csv_of(ROWS))
    path = tmp_path / "trian.csv"
    assert issue(path) == f"data.train: no file {path}; did you mean 'train.csv'?"


def test_every_path_is_looked_up_before_any_is_read(tmp_path, monkeypatch):
    path = write(tmp_path, "train.csv", csv_of(ROWS))
    monkeypatch.setattr(
        "distill.data.sources.files.read_rows", lambda *_, **__: pytest.fail("read")
    )
    gone = tmp_path / "held-back.csv"
    assert issue(path, test=gone) == f"data.test: no file {gone}; data files there are 'train.csv'"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("t.txt", "unknown kind of file '.txt'"),
        ("t.txt.gz", "unknown kind of file '.txt.gz'"),
        ("train", "a file name without an ending"),
    ],
)
def test_unknown_kind(tmp_path, name, what):
    path = write(tmp_path, name, "x")
    assert issue(path) == (
        f"data.train: {path}: {what}; known are .csv, .tsv, .jsonl, .json (each also .gz), "
        ".parquet and datasets folders"
    )


def test_a_json_file_of_another_task_is_told_where_its_rows_belong(tmp_path):
    said = issue(write(tmp_path, "t.json", '[{"text": "a", "label": 1}]'))
    assert "no 'data' at the top; a .json file is read as SQuAD's" in said
    assert said.endswith("rows of other tasks belong into .jsonl or .csv")


def test_a_folder_that_datasets_did_not_save(tmp_path):
    assert issue(tmp_path) == (
        f"data.train: {tmp_path} is a folder, but not one that datasets saved "
        "(no dataset_dict.json or state.json); write the path of a file in it"
    )


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_large_file_is_parsed_once(tmp_path, monkeypatch, name):
    path = tmp_path / name
    rows = ["text;label", "a;no", "b", "", "\0c;yes", "d;no"]  # line 3 lacks a field
    if name == "rows.jsonl":
        rows = ['{"text": "a", "label": 1}', "{b", "", '{"text": null}', '{"text": "\\ud800"}']
    path.write_text("\n".join(rows) + "\n")
    wanted = ["text", "label"]

    def read(policy):
        bad = BadRows(policy)
        table = files.read_rows(path, wanted, bad)
        columns = {name: list(values) for name, values in table.columns.items()}
        places = [table.at(row) for row in range(len(table))]
        return columns, places, list(table.available), table.notes, bad.rows

    def refused():
        with pytest.raises(BadRowError) as error:
            read("refuse")
        return str(error.value)

    expected, why = read("skip"), refused()
    assert expected[-1]
    monkeypatch.setattr(files, "_LARGE", 0)
    assert refused() == why
    assert read("skip") == expected
    parse = files.Rows
    monkeypatch.setattr(files, "Rows", None)
    assert read("skip") == expected
    assert refused() == why
    monkeypatch.setattr(files, "Rows", parse)
    before = path.stat()
    path.write_text(path.read_text().replace("a;", "e;").replace('"a"', '"e"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read("skip")[0]["text"][0] == "e"
