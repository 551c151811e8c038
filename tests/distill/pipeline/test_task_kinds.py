"""Every kind of task goes the whole way: teacher, student, pruning, int8, bundle, prediction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_files import changed, facts, read_lines, recipe_at, write_lines
from sklearn.metrics import f1_score

from distill.evaluation.error_analysis import read_predictions
from distill.inspection.inspect_text import inspect_text
from distill.inspection.subjects import find_subjects
from distill.pipeline.runner import run
from distill.recipe.loader import load_recipe
from distill.runtime import load
from distill.tasks.multi_label.thresholds import best_thresholds
from students.heads import logits_of
from teachers.load import load_model, load_tokenizer

pytestmark = pytest.mark.slow

MULTI_LABEL: dict[str, Any] = {
    "kind": "multi_label",
    "labels": ["good", "bad", "film"],
    "thresholds": {"film": 0.3},
}
REGRESSION: dict[str, Any] = {"kind": "regression", "metric": "spearman", "bounds": [0, 5]}


def of_several(row: dict[str, Any], number: int) -> Any:
    labels = ["good" if row["label"] == "positive" else "bad"]
    return [] if number % 7 == 3 else labels + ["film"] * (number % 2)


def of_a_scale(row: dict[str, Any], number: int) -> Any:
    return 4.5 - number % 3 * 0.25 if row["label"] == "positive" else 0.5 + number % 3 * 0.25


def recipe_for(path: Path, task: dict[str, Any], label: Any) -> Path:
    """The tiny recipe with another task over the same texts."""
    for split in ("train", "validation"):
        file = Path(recipe_at(path)["data"][split])
        rows = enumerate(read_lines(file))
        write_lines(file, [{**row, "label": label(row, number)} for number, row in rows])
    return changed(path, task["kind"], task=task, track={})


def outputs(folder: Path, texts: list[str]) -> np.ndarray:
    """What transformers makes of the texts with the bundle's own folder."""
    tokens = load_tokenizer(folder)(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return logits_of(load_model(folder), dict(tokens)).numpy()


@pytest.mark.parametrize(
    ("task", "label"), [(MULTI_LABEL, of_several), (REGRESSION, of_a_scale)], ids=["several", "one"]
)
def test_from_recipe_to_prediction(
    tmp_path: Path, tiny_recipe: Path, task: dict[str, Any], label: Any, sentences: Any
) -> None:
    recipe = load_recipe(recipe_for(tiny_recipe, task, label))
    results = run(recipe, tmp_path / "run")
    rows = {row["name"]: row for row in results["models"]}
    assert list(rows) == [
        "linear", "teacher", "baseline", "intermediate", "prediction", "prune", "onnx", "onnx-int8"
    ]  # fmt: skip
    assert rows["linear"]["format"] == "tf-idf"
    assert set(rows["linear"]["scores"]) == set(rows["teacher"]["scores"])
    assert rows["linear"]["latency_ms"].keys() == rows["teacher"]["latency_ms"].keys()
    assert results["task"] == task["kind"]
    assert results["metric"] in rows["teacher"]["scores"]
    assert rows["onnx"]["score"] == pytest.approx(rows["prune"]["score"], abs=1e-3)
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    kept = read_predictions(next((tmp_path / "run").glob("*-evaluate/predictions.npz")))
    assert list(kept.models) == list(rows)
    if task["kind"] == "regression":
        assert "Predicted against true" in page
        assert rows["onnx-int8"]["label_scores"] == {}
    else:
        assert set(rows["onnx-int8"]["label_scores"]) == set(task["labels"])
        assert rows["teacher"]["scores"]["macro_f1"] == pytest.approx(
            np.mean([one["f1"] for one in rows["teacher"]["label_scores"].values()]), abs=1e-5
        )
        assert kept.models["onnx"]["thresholds"].tolist() == [0.5, 0.5, 0.3]
    found = inspect_text(find_subjects(tmp_path / "run"), "the best film")
    assert found.teacher is not None
    assert len(found.student.outputs) == len(task.get("labels", ["score"]))
    bundle = tmp_path / "run" / "bundle"
    manifest = json.loads((bundle / "distill.json").read_text("utf-8"))
    assert manifest["task"] == task["kind"]
    assert task["kind"].replace("_", "-") in (bundle / "README.md").read_text("utf-8")
    texts = sentences[0][:10]
    model = load(bundle, format="onnx")
    expected = outputs(bundle, texts)
    np.testing.assert_allclose(model.logits(texts), expected, atol=1e-4)
    found = model.predict(texts)
    assert all(model.decoder.line(one) for one in found)
    if task["kind"] == "regression":
        clipped = np.clip(expected[:, 0], 0, 5)
        np.testing.assert_allclose([one["score"] for one in found], clipped, atol=1e-4)
        return
    shares = 1 / (1 + np.exp(-expected))
    for one, row in zip(found, shares, strict=True):
        assert set(one["labels"]) == set(np.array(task["labels"])[row > [0.5, 0.5, 0.3]])
        assert list(one["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-4)


def test_thresholds_are_chosen_for_each_model_on_the_validation_examples(
    tmp_path: Path, tiny_recipe: Path
) -> None:
    task = {**MULTI_LABEL, "thresholds": "auto", "metric": "macro_f1"}
    path = recipe_for(tiny_recipe, task, of_several)
    recipe = recipe_at(path)
    # The test examples have other labels, which say nothing to whoever chooses.
    held = [row | {"label": ["film"]} for row in read_lines(recipe["data"]["train"])[:16]]
    data = recipe["data"] | {"test": write_lines(tmp_path / "test.jsonl", held)}
    changed(path, data=data, stages=[recipe["stages"][1], *recipe["stages"][3:]])
    folder = tmp_path / "run"
    results = run(load_recipe(path), folder)
    rows = {row["name"]: row for row in results["models"]}
    assert list(rows) == ["linear", "teacher", "baseline", "prediction", "onnx", "onnx-int8"]

    asked = read_lines(data["validation"])
    texts = [row["text"] for row in asked]
    there = np.array([[name in row["label"] for name in task["labels"]] for row in asked])
    for stage in ("01-teacher", "02-baseline", "03-prediction"):
        told = facts(folder / stage)
        shares = 1 / (1 + np.exp(-outputs(folder / stage / "model", texts).astype(np.float64)))
        best = best_thresholds(shares, there)
        assert told["thresholds"] == pytest.approx(best, abs=1e-5)
        assert list(rows[stage[3:]]["thresholds"].values()) == told["thresholds"]
        said = shares > np.array(told["thresholds"])
        wanted = f1_score(there, said, average="macro", zero_division=0.0)
        assert told["score"] == pytest.approx(wanted, abs=1e-5)
    student = told["thresholds"]
    assert student != [0.5, 0.5, 0.5]
    assert rows["teacher"]["thresholds"] != rows["prediction"]["thresholds"]
    # The bundle has the student's, and the scores of its formats are with them.
    bundle = folder / "bundle"
    manifest = json.loads((bundle / "distill.json").read_text("utf-8"))
    assert manifest["settings"]["thresholds"] == student
    kept = read_predictions(next(folder.glob("*-evaluate/predictions.npz")))
    for name in ("onnx", "onnx-int8"):
        assert list(rows[name]["thresholds"].values()) == student
        said = kept.models[name]["outputs"] > np.array(student, np.float32)
        right = (said == kept.shared["targets"].astype(bool)).all(axis=1).mean()
        assert rows[name]["scores"]["exact"] == pytest.approx(right, abs=1e-6)
    model = load(bundle, format="onnx")
    for one in model.predict(texts):
        shares = list(one["probabilities"].values())
        wanted = {n for n, p, bar in zip(task["labels"], shares, student, strict=True) if p > bar}
        assert set(one["labels"]) == wanted
    subjects = find_subjects(folder)
    assert subjects.settings["thresholds"] == student
    theirs = list(rows["teacher"]["thresholds"].values())
    assert subjects.teacher_settings["thresholds"] == theirs
    page = (folder / "report.html").read_text("utf-8")
    assert "given above" in page
    assert "thresholds good" in (folder / "log.txt").read_text("utf-8")
