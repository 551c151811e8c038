"""Several teachers in a run, teachers that read other tokens, and label orders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from run_files import changed, write_lines

from distill import load_recipe, run
from distill.cli.main import main

TRAINING = {"epochs": 1, "batch_size": 8, "lr": 1e-3}
LOGITS = {"kind": "distill", "name": "prediction", "objectives": [{"kind": "logits"}], **TRAINING}
EVALUATE = {"kind": "evaluate", "batch_sizes": [1], "lengths": [8], "repeats": 2, "threads": 1}


@pytest.fixture
def write(tiny_recipe: Path):
    """Write the tiny recipe with other sections; only one logits stage unless ``stages`` say."""

    def put(**sections) -> Path:
        stages = {"stages": [LOGITS]}
        return changed(tiny_recipe, **{"baseline": False, "track": {}, **stages, **sections})

    return put


def _outputs(folder: Path, texts: list[str]) -> np.ndarray:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=32)
    with torch.inference_mode():
        return model.eval()(**batch).logits.numpy()


def test_logits_are_the_weighted_average_of_teachers_of_any_shape(
    tmp_path, write, tiny_bert, sentences, monkeypatch
):
    """Three teachers: other width and depth, other labels' order, other vocabulary."""
    from distill.stages import distill as stage

    learned: list[np.ndarray] = []
    real = stage.average_logits
    monkeypatch.setattr(
        stage, "average_logits", lambda *a, **k: learned.append(real(*a, **k)) or learned[-1]
    )
    wide = tiny_bert(layers=3, hidden=48, heads=4, ffn=96, seed=1)
    turned = tiny_bert(seed=2, labels=("positive", "negative"), words=("zebra", "quagga"))
    first = tiny_bert()
    teacher = {
        "model": str(first),
        "weight": 2,
        "more": [{"model": str(wide)}, {"model": str(turned), "weight": 0.5}],
    }
    results = run(load_recipe(write(teacher=teacher, stages=[LOGITS, EVALUATE])), tmp_path / "run")
    texts = sentences[0][:48]
    expected = (
        2 * _outputs(first, texts) + _outputs(wide, texts) + 0.5 * _outputs(turned, texts)[:, ::-1]
    ) / 3.5
    assert np.allclose(learned[0], expected, atol=1e-5)
    names = [row["name"] for row in results["models"]]
    assert names == ["linear", "teacher", "teacher-2", "teacher-3", "teachers", "prediction"]
    rows = {row["name"]: row for row in results["models"]}
    # The row of the ensemble is the average's score on the validation examples.
    texts, labels = sentences[0][48:], np.array(sentences[1][48:])
    expected = (
        2 * _outputs(first, texts) + _outputs(wide, texts) + 0.5 * _outputs(turned, texts)[:, ::-1]
    )
    assert rows["teachers"]["score"] == pytest.approx(float((expected.argmax(1) == labels).mean()))
    alone = (_outputs(turned, texts)[:, ::-1].argmax(1) == labels).mean()
    assert rows["teacher-3"]["score"] == pytest.approx(float(alone))
    assert rows["teachers"]["parameters"] == sum(rows[n]["parameters"] for n in names[1:4])
    assert rows["teachers"]["latency_ms"] == {}
    # The model of the third teacher keeps its own tokenizer.
    tokens = json.loads((tmp_path / "run/03-teacher-3/model/tokenizer.json").read_text("utf-8"))
    assert "quagga" in tokens["model"]["vocab"]


def test_each_teacher_is_fine_tuned_by_itself_and_only_once(tmp_path, write, tiny_bert):
    more = [{"model": str(tiny_bert(seed=5)), "finetune": TRAINING}]
    teacher = {"model": str(tiny_bert()), "finetune": TRAINING, "more": more}
    run(load_recipe(write(teacher=teacher)), tmp_path / "run")
    files = [
        tmp_path / "run" / name / "model/model.safetensors"
        for name in ("01-teacher", "02-teacher-2", "03-prediction")
    ]
    weights = [file.read_bytes() for file in files]
    assert main(["resume", str(tmp_path / "run"), "teacher.more.0.weight=3"]) == 0
    log = (tmp_path / "run" / "log.txt").read_text("utf-8")
    # Another share trains the student anew, and no teacher.
    assert "[1/3] teacher: done before" in log
    assert "[2/3] teacher-2: done before" in log
    assert "prediction: done before" not in log
    again = [file.read_bytes() for file in files]
    assert weights[:2] == again[:2]
    assert weights[2] != again[2]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"labels": ("yes", "no")}, "its labels are [yes, no] and the data's are [negative"),
        ({"labels": ("LABEL_0", "LABEL_1")}, "its outputs have no names (["),
    ],
)
def test_labels_of_every_teacher_are_checked_by_name(
    tmp_path, write, tiny_bert, capsys, more, said
):
    teacher = {"model": str(tiny_bert()), "more": [{"model": str(tiny_bert(**more))}]}
    assert main(["run", str(write(teacher=teacher)), "--run-dir", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err


def test_three_labels_in_another_order_are_put_right(tmp_path, tiny_recipe, tiny_bert, write):
    """MNLI's labels have two orders in use: teacher and data may each have their own."""
    names = ["entailment", "neutral", "contradiction"]
    words = ["good", "bad", "great", "poor", "fine", "dull", "best", "worst", "love", "hate"]
    rows = [{"text": f"a {word} film", "label": names[n % 3]} for n, word in enumerate(words)]
    path = write_lines(tmp_path / "nli.jsonl", rows)
    folder = tiny_bert(labels=("contradiction", "entailment", "neutral"), seed=4)
    recipe = write(
        task={"kind": "classification", "labels": names},
        data={"source": "files", "train": path, "validation": path, "max_length": 32},
        teacher={"model": str(folder)},
    )
    run(load_recipe(recipe), tmp_path / "run")
    texts = [row["text"] for row in rows]
    ours = _outputs(tmp_path / "run" / "01-teacher" / "model", texts)
    assert np.allclose(ours, _outputs(folder, texts)[:, [1, 2, 0]], atol=1e-6)


@pytest.fixture
def other_student(tiny_bert) -> Path:
    """A student's folder with another vocabulary than the teacher's."""
    return tiny_bert(layers=1, seed=9, words=("zebra", "quagga", "okapi"))


def test_a_student_with_its_own_tokenizer_learns_logits(
    tmp_path, write, tiny_bert, other_student, sentences
):
    from distill.runtime import load

    stages = [LOGITS, {"kind": "export", "max_drop": 1.0}, EVALUATE]
    student = {"size": "1x32/2/64", "init": str(other_student)}
    recipe = write(
        teacher={"model": str(tiny_bert())}, student=student, stages=stages, baseline=True
    )
    results = run(load_recipe(recipe), tmp_path / "run")
    names = [row["name"] for row in results["models"]]
    assert names[:4] == ["linear", "teacher", "baseline", "prediction"]
    texts, labels = sentences[0][48:], np.array(sentences[1][48:])
    for folder, name in (("01-teacher", "teacher"), ("03-prediction", "prediction")):
        own = _outputs(tmp_path / "run" / folder / "model", texts).argmax(1)
        row = next(row for row in results["models"] if row["name"] == name)
        assert row["score"] == pytest.approx(float((own == labels).mean())), name
    tokens = json.loads((tmp_path / "run/bundle/tokenizer.json").read_text("utf-8"))
    assert "okapi" in tokens["model"]["vocab"]
    answers = load(tmp_path / "run").predict(texts)
    assert [answer["label"] for answer in answers] == [
        ("negative", "positive")[n]
        for n in _outputs(tmp_path / "run/03-prediction/model", texts).argmax(1)
    ]


def test_what_compares_tokens_is_refused_for_other_tokens(
    tmp_path, write, tiny_bert, other_student, capsys
):
    student = {"size": "1x32/2/64", "init": str(other_student)}
    stage = {"kind": "distill", "name": "inner", "objectives": [{"kind": "hidden"}]}
    recipe = write(teacher={"model": str(tiny_bert())}, student=student, stages=[stage])
    assert main(["validate", str(recipe)]) == 2
    told = capsys.readouterr().err.strip()
    assert "stages[0].objectives[0]: 'hidden' compares token by token" in told
    assert "works here: logits" in told
    assert len(told.splitlines()) == 1


def test_other_rules_of_tokens_are_found_before_anything_is_written(
    tmp_path, write, tiny_bert, capsys
):
    """The same tokens under the same numbers, but cut from cased text."""
    cased = tiny_bert(layers=1)
    file = cased / "tokenizer.json"
    content = json.loads(file.read_text("utf-8"))
    content["normalizer"]["lowercase"] = False
    file.write_text(json.dumps(content), "utf-8")
    config = cased / "tokenizer_config.json"
    settings = json.loads(config.read_text("utf-8")) | {"do_lower_case": False}
    config.write_text(json.dumps(settings), "utf-8")
    student = {"size": "1x32/2/64", "init": str(cased)}
    stage = {"kind": "distill", "name": "inner", "objectives": [{"kind": "embedding"}]}
    recipe = write(teacher={"model": str(tiny_bert())}, student=student, stages=[stage])
    assert main(["run", str(recipe), "--run-dir", str(tmp_path / "run")]) == 2
    assert "stages.inner.objectives: 'embedding' compares token by" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_plan_names_every_teacher(write, tiny_bert, capsys):
    wide = tiny_bert(layers=3, hidden=48, heads=4, ffn=96)
    teacher = {"model": str(tiny_bert()), "more": [{"model": str(wide), "finetune": TRAINING}]}
    assert main(["plan", str(write(teacher=teacher)), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [s["folder"] for s in plan["stages"]][:2] == ["01-teacher", "02-teacher-2"]
    assert [(m["name"], m["hidden"]) for m in plan["models"]][:2] == [
        ("teacher", 32),
        ("teacher-2", 48),
    ]
