"""What the evaluation keeps: every row's answers, and the rows where teacher and student differ."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np

from distill.data.split import Split
from distill.evaluation.predictions import read_predictions
from distill.stages.judge import Judge
from distill.tasks import Classification

SPLIT = Split("test", ["first", "second", "third"], [0, 1, 1], pairs=["a", "b", "c"])


def judged(task=None):
    task = task or Classification(["no", "yes"])
    judge = Judge(task, SPLIT, SimpleNamespace(labels=SPLIT.labels))
    for name, logits in [
        ("teacher", [[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]),
        ("onnx-int8", [[0.0, 1.0], [0.0, 1.0], [4.0, 0.0]]),
    ]:
        keep = judge.keeper(name, task)
        if keep is not None:
            keep(np.array(logits, np.float32), {"index": np.arange(3)})
    return judge


def test_the_files_hold_answers_and_the_surest_differences_first(tmp_path):
    judge = judged()
    written = judge.write(tmp_path)
    assert [path.name for path in written] == ["predictions.npz", "disagreements.json"]
    assert list(read_predictions(written[0]).outputs) == ["teacher", "onnx-int8"]
    content = json.loads(written[1].read_text("utf-8"))
    assert content["model"] == "onnx-int8"
    assert [row["row"] for row in content["rows"]] == [2, 0]
    first = content["rows"][0]
    assert (first["text"], first["text_pair"], first["label"]) == ("third", "c", "yes")
    assert first["teacher"]["said"] == "yes"
    assert first["model"]["said"] == "no"
    assert round(first["model"]["confidence"], 3) == 0.982


def test_numbers_for_the_results():
    judge = judged()
    assert judge.of_model("teacher")["label_scores"]["yes"].f1 == 1.0
    assert judge.of_final()["disagreement"].model_dump() == {
        "model": "onnx-int8", "rows": 2, "share": 2 / 3,
        "teacher_right": 2, "model_right": 0, "neither_right": 0,
    }  # fmt: skip
    assert judge.of_final()["confusion"].rows == {"no": {"yes": 1}, "yes": {"no": 1, "yes": 1}}


def test_of_a_task_with_other_outputs_nothing_is_kept(tmp_path):
    task = SimpleNamespace(kind="other", labels=("x",), settings={})
    judge = judged(task)
    assert judge.keeper("teacher", task) is None
    assert judge.of_model("teacher") == judge.of_final() == {}
    assert judge.write(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
