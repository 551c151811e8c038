"""A ranking goes the whole way: lists of candidates, raw logits, int8, a bundle that orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import task_kinds as kinds
from run_files import changed, read_lines, recipe_at
from typer.testing import CliRunner

from distill.cli.main import app
from distill.evaluation.error_analysis import read_predictions
from distill.inspection.inspect_text import inspect_text
from distill.inspection.subjects import find_subjects
from distill.pipeline.runner import run
from distill.recipe.loader import load_recipe
from distill.runtime import load

pytestmark = pytest.mark.slow


@pytest.fixture
def recipe(tmp_path: Path, tiny_recipe: Path, sentences: Any) -> Path:
    data = kinds.write_rows("ranking", tmp_path, *sentences)
    stages = recipe_at(tiny_recipe)["stages"]
    losses = [{"kind": "logits", "loss": "margin_mse", "hard_weight": 0.2}]
    stages[1]["objectives"] = losses
    return changed(
        tiny_recipe, "ranking", data=data, task={"kind": "ranking"}, track={}, stages=stages
    )


def test_from_recipe_to_order(tmp_path: Path, recipe: Path) -> None:
    folder = tmp_path / "run"
    results = run(load_recipe(recipe), folder)
    rows = {row["name"]: row for row in results["models"]}
    assert list(rows) == [
        "linear", "teacher", "baseline", "intermediate", "prediction", "prune", "onnx", "onnx-int8"
    ]  # fmt: skip
    assert rows["linear"]["format"] == "tf-idf"
    assert set(rows["teacher"]["scores"]) == {"ndcg@10", "mrr@10"}
    assert rows["onnx"]["score"] == pytest.approx(rows["prune"]["score"], abs=1e-3)
    assert rows["onnx"]["interval"][0] <= rows["onnx"]["score"] <= rows["onnx"]["interval"][1]
    kept = read_predictions(next(folder.glob("*-evaluate/predictions.npz")))
    assert kept.shared["sizes"].sum() == len(kept.models["onnx"]["outputs"])
    bundle = folder / "bundle"
    assert "another one" in (bundle / "README.md").read_text("utf-8")
    assert inspect_text(find_subjects(folder), "good film", pair="the best film").student.outputs

    asked = read_lines(tmp_path / "validation.jsonl")
    model = load(bundle)
    found = model.predict([one["query"] for one in asked], [one["candidates"] for one in asked])
    scores = [
        score
        for one in found
        for _, score in sorted((own["index"], own["score"]) for own in one["candidates"])
    ]
    np.testing.assert_allclose(scores, kept.models["onnx-int8"]["outputs"][:, 0], atol=1e-5)
    for one, own in zip(found, asked, strict=True):
        ordered = [candidate["score"] for candidate in one["candidates"]]
        assert ordered == sorted(ordered, reverse=True)
        assert [own["candidates"][c["index"]] for c in one["candidates"]] == [
            c["text"] for c in one["candidates"]
        ]
    alone = model.predict([asked[0]["query"]], [asked[0]["candidates"][:1]])
    assert alone[0]["candidates"][0]["score"] == scores[0]  # whatever shares its batch

    out = tmp_path / "ordered.jsonl"
    said = CliRunner().invoke(
        app,
        ["predict", str(folder), "--file", str(tmp_path / "validation.jsonl"), "--out", str(out)],
    )
    assert said.exit_code == 0, said.output
    assert [one["candidates"] for one in read_lines(out)] == [one["candidates"] for one in found]
    said = CliRunner().invoke(
        app, ["predict", str(folder), "good film", "--pair", "the best film", "--pair", "a tree"]
    )
    assert said.exit_code == 0
    assert len(said.output.splitlines()) == 3
