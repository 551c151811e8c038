"""What models said of every row: kept by row, written without pickle, read back the same."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch

from distill.errors import RunFolderError
from distill.evaluation.predictions import (
    Predictions,
    as_outputs,
    read_predictions,
    write_predictions,
)

LOGITS = np.array([[2.0, -1.0, 0.5], [-300.0, 300.0, 0.0], [0.0, 0.0, 0.1]], np.float32)


def sample(task="classification"):
    found = Predictions(task, ("a", "b", "c"), np.array([0, 1, 0]))
    keep = found.keeper("teacher")
    # Batches come by length, not in the order of the rows.
    keep(LOGITS[[2, 0]], {"index": torch.tensor([2, 0])})
    keep(LOGITS[[1]], {"index": torch.tensor([1])})
    return found


def test_rows_come_back_in_their_own_order_as_probabilities():
    expected = torch.from_numpy(LOGITS).softmax(-1).numpy()
    np.testing.assert_allclose(sample().outputs["teacher"], expected, atol=1e-6)
    assert sample().decided("teacher").tolist() == [0, 1, 2]


def test_several_labels_are_sigmoids_above_their_thresholds(tmp_path):
    expected = torch.from_numpy(LOGITS).sigmoid().numpy()
    np.testing.assert_allclose(as_outputs(LOGITS, "multi_label"), expected, atol=1e-6)
    found = Predictions(
        "multi_label",
        ("a", "b", "c"),
        np.zeros((3, 3), np.int64),
        thresholds={"x": (0.5, 0.2, 0.9), "y": (0.5, 0.5, 0.5)},
    )
    found.outputs |= dict.fromkeys(("x", "y"), as_outputs(LOGITS, "multi_label"))
    assert found.decided("x").tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert found.decided("y").tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    write_predictions(tmp_path / "one.npz", found)
    assert read_predictions(tmp_path / "one.npz").thresholds == found.thresholds
    # Files of runs whose models shared their thresholds have one row of them.
    with np.load(tmp_path / "one.npz") as content:
        older = dict(content) | {"thresholds": np.array([0.5, 0.2, 0.9])}
    np.savez(tmp_path / "older.npz", **older)
    back = read_predictions(tmp_path / "older.npz").thresholds
    assert back == dict.fromkeys(("x", "y"), (0.5, 0.2, 0.9))


def test_numbers_stay_as_they_are():
    found = Predictions("regression", ("score",), np.array([1.5, 2.0]))
    found.keeper("x")(np.array([[7.25], [-1.0]], np.float32), {"index": torch.tensor([0, 1])})
    assert found.decided("x").tolist() == [7.25, -1.0]


def test_the_file_holds_plain_arrays_and_is_the_same_each_time(tmp_path):
    found = sample()
    for name in ("one.npz", "two.npz"):
        write_predictions(tmp_path / name, found)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as content:
        assert all(content[key].dtype != object for key in content)
    back = read_predictions(tmp_path / "one.npz")
    assert (back.task, back.labels, list(back.outputs)) == (
        "classification", ("a", "b", "c"), ["teacher"]
    )  # fmt: skip
    np.testing.assert_array_equal(back.targets, found.targets)
    np.testing.assert_array_equal(back.outputs["teacher"], found.outputs["teacher"])


def test_a_broken_file_is_told_with_what_to_do(tmp_path):
    path = tmp_path / "run" / "08-evaluate" / "predictions.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(RunFolderError, match=r"distill evaluate .*run --rerun"):
        read_predictions(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("models.npy", b"")
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_predictions(path)
