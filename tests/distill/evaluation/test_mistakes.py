"""How models go wrong: every number against an independent count."""

from __future__ import annotations

import numpy as np
import pytest

from distill.evaluation.mistakes import (
    calibration,
    confusion,
    disagreeing_rows,
    disagreement,
    label_scores,
    told_answer,
    told_target,
)
from distill.evaluation.predictions import Predictions

NAMES = ("bad", "fair", "good", "never")


@pytest.fixture
def found():
    random = np.random.default_rng(0)
    made = Predictions("classification", NAMES, random.integers(0, 3, 400))
    for name, sharp in (("teacher", 4.0), ("int8", 2.0)):
        logits = random.normal(size=(400, 4))
        logits[np.arange(400), made.targets] += 1.0
        logits[:, 3] -= 99.0
        made.keeper(name)((sharp * logits).astype(np.float32), {"index": np.arange(400)})
    return made


def test_the_calibration_error_is_the_mean_gap_over_bins(found):
    for model, outputs in found.outputs.items():
        sure, right = outputs.max(-1), outputs.argmax(-1) == found.targets
        error = 0.0
        for low in range(15):
            inside = (sure > low / 15) & (sure <= (low + 1) / 15)
            if inside.any():
                error += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
        told = calibration(found, model)
        assert told is not None
        assert told.ece == pytest.approx(error, abs=1e-5)
        assert sum(one.rows for one in told.bins) == 400
        gaps = [one.rows / 400 * abs(one.accuracy - one.confidence) for one in told.bins]
        assert sum(gaps) == pytest.approx(told.ece, abs=1e-5)
    # Sharper logits of the same quality are less honest.
    sharp, soft = (calibration(found, name) for name in ("teacher", "int8"))
    assert sharp is not None
    assert soft is not None
    assert sharp.ece > soft.ece


def test_a_model_that_is_always_sure_and_always_right_is_calibrated():
    made = Predictions("classification", ("a", "b"), np.array([0, 1, 1]))
    made.outputs["x"] = np.eye(2, dtype=np.float32)[[0, 1, 1]]
    told = calibration(made, "x")
    assert told is not None
    assert told.ece == 0.0
    assert [(one.rows, one.confidence, one.accuracy) for one in told.bins] == [(3, 1.0, 1.0)]


def test_each_label_is_counted_by_itself(found):
    chosen, true = found.decided("int8"), found.targets
    scores = label_scores(found, "int8")
    assert list(scores) == list(NAMES)
    for k, name in enumerate(NAMES[:3]):
        hits = sum(1 for c, t in zip(chosen, true, strict=True) if c == t == k)
        precision, recall = hits / (chosen == k).sum(), hits / (true == k).sum()
        told = scores[name]
        assert told.support == (true == k).sum()
        assert (told.precision, told.recall) == pytest.approx((precision, recall))
        assert told.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert scores["never"].model_dump() == {
        "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0
    }  # fmt: skip


def test_confusions_are_counts_of_true_and_predicted(found):
    told = confusion(found, "int8")
    assert told is not None
    assert told.model == "int8"
    chosen = found.decided("int8")
    for k, true in enumerate(NAMES[:3]):
        for j, said in enumerate(NAMES[:3]):
            expected = int(((found.targets == k) & (chosen == j)).sum())
            assert told.rows[true].get(said, 0) == expected
    assert "never" not in told.rows


def test_disagreements_say_who_is_right(found):
    told = disagreement(found, "teacher", "int8")
    assert told is not None
    theirs, own = found.decided("teacher"), found.decided("int8")
    differ = theirs != own
    assert told.rows == differ.sum() > 20
    assert told.share == pytest.approx(differ.mean())
    assert told.teacher_right == (differ & (theirs == found.targets)).sum()
    assert told.model_right == (differ & (own == found.targets)).sum()
    assert told.rows == told.teacher_right + told.model_right + told.neither_right


def test_the_surest_disagreements_come_first(found):
    rows = disagreeing_rows(found, "teacher", "int8", most=20)
    assert len(rows) == 20
    sure = [float(found.outputs["int8"][row].max()) for row in rows]
    assert sure == sorted(sure, reverse=True)
    differ = found.decided("teacher") != found.decided("int8")
    assert all(differ[row] for row in rows)
    assert sure[0] == pytest.approx(found.outputs["int8"][differ].max())
    label, confidence = told_answer(found, "int8", rows[0])
    assert label == NAMES[found.decided("int8")[rows[0]]]
    assert confidence == pytest.approx(sure[0])
    assert told_target(found, found.targets[rows[0]]) == NAMES[found.targets[rows[0]]]


def test_several_labels_a_row():
    made = Predictions(
        "multi_label", ("a", "b"), np.array([[1, 0], [1, 1], [0, 0]]), thresholds={"x": (0.5, 0.5)}
    )
    made.outputs["teacher"] = np.array([[0.9, 0.2], [0.8, 0.6], [0.1, 0.1]], np.float32)
    made.outputs["student"] = np.array([[0.9, 0.7], [0.8, 0.4], [0.2, 0.1]], np.float32)
    scores = label_scores(made, "student")
    assert scores["a"].model_dump() == {
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2
    }  # fmt: skip
    assert scores["b"].model_dump() == {
        "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1
    }  # fmt: skip
    assert confusion(made, "student") is None
    told = disagreement(made, "teacher", "student")
    assert told is not None
    assert (told.rows, told.teacher_right, told.model_right) == (2, 2, 0)
    assert disagreeing_rows(made, "teacher", "student", most=5) == [0, 1]
    assert told_answer(made, "student", 0) == ("a, b", None)
    assert told_target(made, made.targets[2]) == "none"
    honest = calibration(made, "teacher")
    assert honest is not None
    # Six decisions: the gaps between probability and what is there.
    assert honest.ece == pytest.approx((0.1 + 0.2 + 0.2 + 0.4 + 0.1 + 0.1) / 6, abs=1e-6)


def test_of_numbers_the_rows_furthest_apart():
    made = Predictions("regression", ("score",), np.array([1.0, 2.0, 3.0]))
    made.outputs["teacher"] = np.array([[1.0], [2.5], [3.0]], np.float32)
    made.outputs["student"] = np.array([[1.5], [0.5], [3.0]], np.float32)
    assert disagreeing_rows(made, "teacher", "student", most=5) == [1, 0]
    assert told_answer(made, "student", 1) == ("0.500", None)
    assert calibration(made, "student") is confusion(made, "student") is None
    assert label_scores(made, "student") == {}
    assert disagreement(made, "teacher", "student") is None
