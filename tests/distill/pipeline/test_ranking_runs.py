"""A ranking goes the whole way: lists of candidates, raw logits, int8, a bundle that orders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from distill.cli.main import app
from distill.evaluation.error_analysis import read_predictions
from distill.inspection.inspect_text import inspect_text
from distill.inspection.subjects import find_subjects
from distill.pipeline.runner import run
from distill.recipe.loader import load_recipe
from distill.runtime import load

pytestmark = pytest.mark.slow


def queries(texts: list[str], labels: list[int]) -> list[dict[str, Any]]:
    """Each asks for good or bad films; lists are of unlike lengths, with two grades."""
    found = []
    for number in range(len(texts) // 2):
        own = [(7 * number + k * 5) % len(texts) for k in range(3 + number % 4)]
        wanted = number % 2
        scores = [(1 + place % 2) * (labels[place] == wanted) for place in own]
        query = f"{'good' if wanted else 'bad'} film {number}"
        found.append({"query": query, "candidates": [texts[k] for k in own], "scores": scores})
    return found


@pytest.fixture
def recipe(tmp_path: Path, tiny_recipe: Path, sentences: Any) -> Path:
    content = yaml.safe_load(tiny_recipe.read_text("utf-8"))
    rows = queries(*sentences)
    files = {"train": rows[:24], "validation": rows[24:]}
    for name, own in files.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in own), "utf-8")
        content["data"][name] = str(path)
    content["data"]["columns"] = {"label": "scores"}
    content["task"] = {"kind": "ranking"}
    content["track"] = {}
    losses = [{"kind": "logits", "loss": "margin_mse", "hard_weight": 0.2}]
    content["stages"][1]["objectives"] = losses
    path = tmp_path / "ranking.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return path


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

    asked = [json.loads(line) for line in (tmp_path / "validation.jsonl").read_text().splitlines()]
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
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [one["candidates"] for one in lines] == [one["candidates"] for one in found]
    said = CliRunner().invoke(
        app, ["predict", str(folder), "good film", "--pair", "the best film", "--pair", "a tree"]
    )
    assert said.exit_code == 0
    assert len(said.output.splitlines()) == 3
