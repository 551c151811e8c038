"""Targets of a teacher that ran elsewhere: matched to the rows, made logits, and refused."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distill.data.split import TaskData
from distill.recipe.schema import Columns, DataConfig, TeacherConfig
from distill.system.errors import DataError
from distill.tasks.classification.config import ClassificationTask
from distill.tasks.load import load_task_data
from distill.tasks.multi_label.config import MultiLabelTask
from distill.tasks.regression.config import RegressionTask
from distill.tasks.vectors.config import VectorsTask

NAMES = ("bad", "good", "so so")
TASK = ClassificationTask(kind="classification", labels=list(NAMES))
ROWS = [
    {"id": f"r{n}", "text": f"text {n}", "label": NAMES[n % 3], "score": n / 2, "two": f"b {n}"}
    for n in range(4)
]
#: Probabilities of the rows, in the order of the labels.
GIVEN = [[0.7, 0.2, 0.1], [0.05, 0.9, 0.05], [0.0, 0.25, 0.75], [0.5, 0.25, 0.25]]


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def loaded(
    tmp_path: Path, targets: Any, task: Any = TASK, columns: Any = None, **more: Any
) -> TaskData:
    train = jsonl(tmp_path / "train.jsonl", more.pop("rows", ROWS))
    other = jsonl(tmp_path / "dev.jsonl", [{**row, "text": row["text"] + " dev"} for row in ROWS])
    data: dict[str, Any] = {"train": str(train), "validation": str(other)}
    data |= {key: more.pop(key) for key in ("on_bad_row", "limit_train") if key in more}
    if more.pop("held_out", False):
        del data["validation"]
    columns = Columns(**{"id": "id", **(columns or {})})
    teacher = TeacherConfig(targets=str(targets), **more)
    return load_task_data(
        DataConfig(source="files", columns=columns, **data), task, seed=0, teacher=teacher
    )


def probabilities(data: TaskData) -> list[list[float]]:
    """What the softmax makes of the logits that are given."""
    logits = np.array(list(data.train.given or ()), dtype=np.float64)
    found = np.exp(logits)
    return (found / found.sum(axis=1, keepdims=True)).round(5).tolist()


def rows_with(**changes: Any) -> list[dict[str, Any]]:
    """Rows with a key for each label, of which the third one is changed."""
    pairs = zip(ROWS, GIVEN, strict=True)
    rows = [{"id": row["id"], **dict(zip(NAMES, p, strict=True))} for row, p in pairs]
    rows[2] |= changes
    return rows


def by_label(path: Path) -> Path:
    return jsonl(path, rows_with()[::-1])


def as_table(path: Path) -> Path:
    with path.open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        table.writerow([NAMES[2], "id", *NAMES[:2]])
        table.writerows([p[2], row["id"], *p[:2]] for row, p in zip(ROWS, GIVEN, strict=True))
    return path


def nested(path: Path) -> Path:
    rows = [
        {"id": row["id"], "text": "x", "probabilities": dict(zip(NAMES, p, strict=True))}
        for row, p in zip(ROWS, GIVEN, strict=True)
    ]
    return jsonl(path, rows)


def parquet(path: Path) -> Path:
    table = pa.table({"id": [row["id"] for row in ROWS][::-1], "probabilities": GIVEN[::-1]})
    pq.write_table(table, path)
    return path


def array(path: Path) -> Path:
    np.save(path, np.array(GIVEN))
    return path


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (by_label, "t.jsonl"),
        (as_table, "t.csv"),
        (as_table, "t.tsv"),
        (nested, "t.jsonl"),
        (parquet, "t.parquet"),
        (array, "t.npy"),
    ],
)
def test_every_kind_of_file_gives_the_same(tmp_path: Path, write: Any, name: str) -> None:
    data = loaded(tmp_path, write(tmp_path / name))
    assert np.allclose(probabilities(data), GIVEN, atol=1e-5)
    assert data.validation.given is None
    (note,) = [note for note in data.notes if "targets" in note]
    assert note.endswith(f"{name}; the largest is the row's label in 100.0%")


def test_targets_stay_with_their_rows(tmp_path: Path) -> None:
    rows = [{**ROWS[n % 3], "id": f"r{n}", "text": f"text {n}"} for n in range(40)]
    rows.insert(3, {"id": "none", "text": "", "label": "bad"})
    shares = [{"id": row["id"], "probabilities": [n / 100, 0.5, 0.5 - n / 100]}
              for n, row in enumerate(rows)]  # fmt: skip
    file = jsonl(tmp_path / "t.jsonl", shares)
    data = loaded(
        tmp_path, file, rows=rows, on_bad_row="skip", held_out=True, limit_train=20
    )  # the row without a text goes, four are held out, and sixteen by the limit
    assert len(data.train) == len(data.train.given or ()) == 20
    for split in (data.train, data.validation):
        for text, given in zip(split.texts, split.given or (), strict=True):
            number = int(text.split()[1])
            assert math.exp(given[0]) == pytest.approx((number + (number > 2)) / 100 or 1e-6)


def test_a_list_goes_by_the_labels_that_are_named(tmp_path: Path) -> None:
    order = ["so so", "bad", "good"]
    turned = [
        {"id": row["id"], "p": [p[2], p[0], p[1]]} for row, p in zip(ROWS, GIVEN, strict=True)
    ]
    file = jsonl(tmp_path / "t.jsonl", turned)
    assert np.allclose(probabilities(loaded(tmp_path, file, labels=order)), GIVEN, atol=1e-5)
    unnamed = ClassificationTask(kind="classification")
    with pytest.raises(DataError, match=r"has no names: .* teacher.labels, such as \[bad, good, s"):
        loaded(tmp_path, file, unnamed)
    with pytest.raises(DataError, match=r"teacher.labels: found a, b, c; the data's labels ar"):
        loaded(tmp_path, file, unnamed, labels=["a", "b", "c"])


def test_probabilities_have_a_floor_and_logits_are_kept(tmp_path: Path) -> None:
    zero = loaded(tmp_path, array(tmp_path / "t.npy")).train.given
    assert zero is not None
    assert zero[2][0] == pytest.approx(math.log(1e-6))
    np.save(tmp_path / "z.npy", np.array([[-3, 4, 0.5]] * 4))
    kept = loaded(tmp_path, tmp_path / "z.npy", values="logits").train.given
    assert list(kept or ())[3] == [-3, 4, 0.5]


def test_other_tasks(tmp_path: Path) -> None:
    rows = [{"id": f"{n}", "text": f"t {n}", "label": [*NAMES[: 1 + n % 3]]} for n in range(4)]
    given = [{"id": n, "good": 0.9, "bad": 0, "so so": 1} for n in range(4)]
    task = MultiLabelTask(kind="multi_label", labels=list(NAMES))
    several = loaded(tmp_path, jsonl(tmp_path / "m.jsonl", given), task, rows=rows).train.given
    most = math.log(1e-6 / (1 - 1e-6))  # ids are compared as text, labels do not add up to 1
    assert list((several or ())[0]) == pytest.approx([most, math.log(9), -most], rel=1e-4)
    number = jsonl(tmp_path / "n.jsonl", [{"id": row["id"], "judge": row["score"]} for row in ROWS])
    found = loaded(tmp_path, number, RegressionTask(kind="regression"), {"label": "score"}).train
    assert list(found.given or ()) == [[0], [0.5], [1], [1.5]]
    pairs = {"text_pair": "two", "label": "score"}
    np.save(tmp_path / "v.npy", np.arange(24, dtype=np.float32).reshape(4, 2, 3))
    both = loaded(tmp_path, tmp_path / "v.npy", VectorsTask(kind="vectors"), pairs).train
    assert list(both.given or ())[1] == [6, 7, 8, 9, 10, 11]
    lists = [{"id": row["id"], "vectors": [[1, 2], [3, 4]]} for row in ROWS]
    same = loaded(tmp_path, jsonl(tmp_path / "v.jsonl", lists), VectorsTask(kind="vectors"), pairs)
    assert next(iter(same.train.given or ())) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (rows_with(bad=0.1), "train.jsonl:3: its target (T:3): the probabilities add up to 1.1"),
        (rows_with(bad=-0.1), "(T:3): -0.1 for 'bad' is no probability; of logits say so"),
        (rows_with(bad=math.nan), "(T:3): nan for 'bad', where a finite number is expected"),
        (rows_with(good=math.inf), "(T:3): inf for 'good', where a finite"),
        (rows_with(good="much"), "(T:3): 'much' for 'good', where a finite number"),
        (rows_with(good=True), "(T:3): True for 'good'"),
        (rows_with(good=None), "(T:3): None for 'good'"),
        (rows_with(id="r9"), "train.jsonl:3: no target in T; or set bad rows aside"),
        (rows_with(id="r0"), "T:3: the id 'r0' occurs twice, first at T:1; give each row one"),
        (rows_with(id=None), "T:3: the id is missing in column 'id'"),
        (rows_with(Good=0.1), "T: 'Good' is no label; labels are 'bad', 'good', 'so so'; did"),
        (rows_with()[:2], "train.jsonl:3: no target in T (and 1 more row)"),
        ([{"id": "r0", "bad": 1, "good": 0}], "T: no column for the label 'so so'"),
        ([{"text": "x", "p": [1]}], "T: no column 'id' (data.columns.id), which rows are matched"),
        ([{"id": "x", "bad": 1, "good": 0, "so so": 0}], "T: none of its ids (x, ...) is one of"),
        ([{"id": "r0", "a": [1], "b": 2}], "T: no column 'probabilities' and none of a label ('ba"),
        ([{"id": "r0", "p": [0.5, 0.5]}], "(T:1): 2 numbers, where 3 are expected"),
        ([{"id": "r0", "p": {"god": 1}}], "(T:1): 'god' is no label; did you mean 'good'?"),
        ([], "T: the file is empty"),
        ([["r0", 1]], "T:1: list instead of an object"),
    ],
)
def test_what_is_refused(tmp_path: Path, rows: list[Any], said: str) -> None:
    file = jsonl(tmp_path / "t.jsonl", rows)
    with pytest.raises(DataError) as error:
        loaded(tmp_path, file)
    assert said in str(error.value).replace(str(file), "T")
    assert "\n" not in str(error.value)


def test_other_files_that_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", np.ones((3, 3)) / 3)
    np.save(tmp_path / "odd.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.save(tmp_path / "text.npy", np.array([["a", "b"]]))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "short.npy").read_bytes()[:40])
    (tmp_path / "header.csv").write_text("id,bad,good,so so\n")
    for name, said in (
        ("short.npy", "3 targets for the 4 rows of .*train.jsonl; each row needs one: an npy file"),
        ("odd.npy", "not a whole npy file of numbers"),
        ("text.npy", "<U1 of shape"),
        ("cut.npy", "not a whole npy file"),
        ("header.csv", "a header and no rows"),
        ("none.csv", "teacher.targets: no file"),
        ("train.jsonl.zip", "teacher.targets: no file"),
    ):
        with pytest.raises(DataError, match=said):
            loaded(tmp_path, tmp_path / name)


def test_bad_targets_are_set_aside_where_bad_rows_are(tmp_path: Path) -> None:
    rows = rows_with(bad=math.nan)[:3]
    file = jsonl(tmp_path / "t.jsonl", rows)
    data = loaded(tmp_path, file, on_bad_row="skip")
    assert list(data.train.texts) == ["text 0", "text 1"]
    assert np.allclose(probabilities(data), GIVEN[:2], atol=1e-5)
    assert [row.place.rpartition(":")[2] for row in data.bad] == ["3", "4"]
    assert any("2 of 4 rows set aside" in note for note in data.notes)
