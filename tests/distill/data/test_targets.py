"""Labels of every kind, from the data's cells to what a task learns from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distill.recipe.schema import DataConfig
from distill.system.errors import DataError
from distill.tasks.load import load_task_data
from distill.tasks.multi_label.config import MultiLabelTask
from distill.tasks.regression.config import RegressionTask

SEVERAL = MultiLabelTask(kind="multi_label")
NUMBER = RegressionTask(kind="regression")


def read(tmp_path: Path, labels: list[Any], task: Any, **changes: Any) -> Any:
    rows = [{"text": f"text {number}", "label": label} for number, label in enumerate(labels)]
    path, other = tmp_path / "rows.jsonl", tmp_path / "held_out.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", "utf-8")
    other.write_text(json.dumps({**rows[0], "text": "another text"}) + "\n", "utf-8")
    data = DataConfig(source="files", train=str(path), validation=str(other), **changes)
    return load_task_data(data, task, seed=0)


def test_lists_become_columns_of_zeros_and_ones(tmp_path: Path) -> None:
    found = read(tmp_path, [["b", "a"], [], "c", '["a"]'], SEVERAL)
    assert found.labels == ("a", "b", "c")
    assert found.train.labels == [(0, 1), (), (2,), (0,)]
    assert found.train.targets.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert found.train.targets.dtype == np.float32
    assert found.train.take([2]).targets.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([["a"], ["b", "b"]], ":2: the label 'b' occurs twice"),
        ([["a"], ["b", None]], ":2: one of the labels is None"),
        ([["a", "b"], None], ":2: the labels are missing in column 'label'; write [] for none"),
        ([["a", "b"], "[a"], "no JSON list"),
        ([[], []], "no example has a label"),
    ],
)
def test_wrong_lists_are_told_with_their_line(tmp_path: Path, labels: Any, said: str) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path, labels, SEVERAL)
    assert said in str(error.value)


def test_numbers_are_read_from_numbers_and_text(tmp_path: Path) -> None:
    found = read(tmp_path, [1, "2.5", 0.0], NUMBER)
    assert found.train.labels == [1.0, 2.5, 0.0]
    assert found.train.targets.dtype == np.float32
    assert found.labels == ()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([1, "many"], ":2: column 'label' holds 'many'"),
        ([1, float("nan")], ":2: column 'label' holds nan"),
        ([1, None, True], ":2: column 'label' holds None; a regression needs a finite number"),
        ([1, float("inf")], "holds inf"),
    ],
)
def test_what_is_no_number_is_told_with_its_line(tmp_path: Path, labels: Any, said: str) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path, labels, NUMBER)
    assert said in str(error.value)


def test_numbers_off_the_scale_are_refused_or_set_aside(tmp_path: Path) -> None:
    task = RegressionTask(kind="regression", bounds=[0, 5])
    with pytest.raises(DataError, match=r":3: 7 in column 'label' is not within task.bounds"):
        read(tmp_path, [1, 2, 7, 3], task)
    found = read(tmp_path, [1, 2, 7, 3], task, on_bad_row="skip")
    assert found.train.labels == [1.0, 2.0, 3.0]
    assert "1 of 4 rows set aside" in " ".join(found.notes)
