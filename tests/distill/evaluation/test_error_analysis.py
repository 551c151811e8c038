"""How models go wrong: every number against an independent count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torchmetrics.functional.classification import multiclass_calibration_error

from distill.data.split import Split
from distill.evaluation.error_analysis import (
    calibration,
    disagreeing,
    disagreement,
    label_scores,
    of_final,
    of_model,
)
from distill.tasks.classification.task import Classification
from distill.tasks.multi_label.task import MultiLabel
from distill.tasks.regression.task import Regression

NAMES = ("bad", "fair", "good", "never")


def analysis_of(task, labels, outputs=None):
    """An analysis of examples with these labels, and of models with these outputs."""
    count = len(task.labels) if task.kind == "multi_label" else None
    split = Split("test", ["a text"] * len(labels), list(labels), outputs=count)
    made = task.analysis(split, None, None)
    for name, values in (outputs or {}).items():
        made.keeper(name, task, None)
        made.outputs[name][:] = values
    return made


@pytest.fixture
def found():
    random = np.random.default_rng(0)
    task = Classification(NAMES)
    made = analysis_of(task, random.integers(0, 3, 400).tolist())
    for name, sharp in (("teacher", 4.0), ("int8", 2.0)):
        logits = random.normal(size=(400, 4))
        logits[np.arange(400), made.targets] += 1.0
        logits[:, 3] -= 99.0
        keep = made.keeper(name, task, None)
        keep((sharp * logits).astype(np.float32), {"index": np.arange(400)})
    return made


def test_outputs_are_probabilities_in_the_order_of_the_examples():
    task = Classification(["a", "b", "c"])
    made = analysis_of(task, [0, 1, 0])
    logits = np.array([[2.0, -1.0, 0.5], [-300.0, 300.0, 0.0], [0.0, 0.0, 0.1]], np.float32)
    keep = made.keeper("x", task, None)
    # Batches come by length, not in the order of the examples.
    keep(logits[[2, 0]], {"index": torch.tensor([2, 0])})
    keep(logits[[1]], {"index": torch.tensor([1])})
    expected = torch.from_numpy(logits).softmax(-1).numpy()
    np.testing.assert_allclose(made.outputs["x"], expected, atol=1e-6)
    assert made.chosen("x").tolist() == [0, 1, 2]


def test_each_model_has_its_own_thresholds():
    made = analysis_of(MultiLabel(["a", "b"]), [(0,), (1,)])
    logits = np.array([[0.1, 1.0], [-1.0, 3.0]], np.float32)
    for name, bars in (("x", {"a": 0.5, "b": 0.9}), ("y", {"a": 0.6, "b": 0.5})):
        keep = made.keeper(name, MultiLabel(["a", "b"], thresholds=bars), None)
        keep(logits, {"index": np.arange(2)})
        assert made.thresholds(name) == bars
    assert made.chosen("x").tolist() == [[True, False], [False, True]]
    assert made.chosen("y").tolist() == [[False, True], [False, True]]


def test_the_calibration_error_is_the_mean_gap_over_bins(found):
    for model, outputs in found.outputs.items():
        given = torch.from_numpy(outputs).float(), torch.from_numpy(found.targets)
        error = multiclass_calibration_error(*given, num_classes=4, n_bins=15)
        told = calibration(*found.confidence(model))
        assert told.ece == pytest.approx(float(error), abs=1e-5)
        assert sum(one.rows for one in told.bins) == 400
        gaps = [one.rows / 400 * abs(one.accuracy - one.confidence) for one in told.bins]
        assert sum(gaps) == pytest.approx(told.ece, abs=1e-5)
    # Sharper logits of the same quality are less honest.
    sharp, soft = (calibration(*found.confidence(name)) for name in ("teacher", "int8"))
    assert sharp.ece > soft.ece


def test_each_label_is_counted_by_itself(found):
    wanted = precision_recall_fscore_support(
        found.targets, found.chosen("int8"), labels=range(4), zero_division=0
    )
    told = label_scores(found, "int8")
    assert list(told) == list(NAMES)
    for score, row in zip(told.values(), zip(*wanted, strict=True), strict=True):
        assert (score.precision, score.recall, score.f1, score.support) == pytest.approx(row)


def test_confusions_are_counts_of_true_and_predicted(found):
    told = of_final(found)["confusion"]
    assert told.model == "int8"
    wanted = confusion_matrix(found.targets, found.chosen("int8"), labels=range(3))
    for true, row in zip(NAMES[:3], wanted, strict=True):
        assert [told.rows[true].get(said, 0) for said in NAMES[:3]] == row.tolist()
    assert "never" not in told.rows


def test_disagreements_say_who_is_right(found):
    told = disagreement(found, "teacher", "int8")
    theirs, own = found.chosen("teacher"), found.chosen("int8")
    differ = theirs != own
    assert told.rows == differ.sum() > 20
    assert told.share == pytest.approx(differ.mean())
    assert told.teacher_right == (differ & (theirs == found.targets)).sum()
    assert told.model_right == (differ & (own == found.targets)).sum()
    assert told.rows == told.teacher_right + told.model_right + told.neither_right


def test_several_labels_a_row():
    made = analysis_of(
        MultiLabel(["a", "b"]),
        [(0,), (0, 1), ()],
        {
            "teacher": [[0.9, 0.2], [0.8, 0.6], [0.1, 0.1]],
            "student": [[0.9, 0.7], [0.8, 0.4], [0.2, 0.1]],
        },
    )
    scores = label_scores(made, "student")
    assert scores["a"].model_dump() == {
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2
    }  # fmt: skip
    assert scores["b"].model_dump() == {
        "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1
    }  # fmt: skip
    assert of_final(made)["confusion"] is None
    told = disagreement(made, "teacher", "student")
    assert (told.rows, told.teacher_right, told.model_right) == (2, 2, 0)
    assert disagreeing(made, "teacher", "student", most=5) == [0, 1]
    assert made.prediction("student", 0) == {"prediction": "a, b", "confidence": None}
    assert made.example(2)["label"] == "none"
    honest = of_model(made, "teacher")["calibration"]
    # Six decisions: the gaps between probability and what is there.
    assert honest.ece == pytest.approx((0.1 + 0.2 + 0.2 + 0.4 + 0.1 + 0.1) / 6, abs=1e-6)


def test_of_numbers_the_rows_furthest_apart():
    outputs = {"teacher": [[1.0], [2.5], [3.0]], "student": [[1.5], [0.5], [3.0]]}
    made = analysis_of(Regression(), [1.0, 2.0, 3.0], outputs)
    assert disagreeing(made, "teacher", "student", most=5) == [1, 0]
    assert made.prediction("student", 1) == {"prediction": "0.500", "confidence": None}
    assert of_model(made, "student") == {
        "calibration": None, "label_scores": {}, "thresholds": {}
    }  # fmt: skip
    assert of_final(made) == {"confusion": None, "disagreement": None}
