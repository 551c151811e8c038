"""A static student goes the whole way: teacher, table, logits, int8, bundle, prediction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import task_kinds as kinds
from run_files import changed, recipe_at

from distill.cli.main import main
from distill.pipeline.runner import run
from distill.recipe.loader import load_recipe
from distill.runtime import load

pytestmark = pytest.mark.slow


def static(path: Path, **parts: Any) -> Path:
    """The tiny recipe with a static student."""
    evaluate = recipe_at(path)["stages"][-1]
    training = {"epochs": 2, "batch_size": 8, "lr": 1e-3}
    stages = [
        {"kind": "distill", "objectives": [{"kind": "logits", "hard_weight": 0.5}], **training},
        {"kind": "prune", "method": "vocabulary"},
        {"kind": "quantize", "max_drop": 1.0},
        {"kind": "export", "max_drop": 1.0},
        evaluate,
    ]
    student = {"kind": "static", "dim": 16}
    return changed(path, **{"student": student, "track": {}, "stages": stages, **parts})


def test_from_recipe_to_int8_bundle(tmp_path: Path, tiny_recipe: Path, sentences, capsys) -> None:
    folder = tmp_path / "run"
    results = run(load_recipe(static(tiny_recipe)), folder)
    rows = {row["name"]: row for row in results["models"]}
    assert list(rows) == [
        "linear", "teacher", "baseline", "distill", "prune", "numpy", "numpy-int8"
    ]  # fmt: skip
    assert rows["numpy-int8"]["bytes"] < 0.5 * rows["numpy"]["bytes"]
    assert rows["prune"]["parameters"] < rows["distill"]["parameters"]
    assert rows["prune"]["score"] == rows["distill"]["score"] == rows["numpy"]["score"]
    assert rows["numpy"]["macs"] == 16 * 2
    card = (folder / "bundle" / "README.md").read_text("utf-8")
    assert "static, 16 wide" in card
    assert "onnxruntime" not in card.partition("## Use")[2].partition("## Training")[0]
    model = load(folder)
    assert model.format == "numpy-int8"
    texts = sentences[0][:20]
    together = model.logits(texts)
    for number in (0, 7, 19):
        assert (model.logits([texts[number]])[0] == together[number]).all()
    assert model.predict(["", "the good film"])[1]["label"] in ("negative", "positive")

    # From the run's folder too, and nothing of it is looked into.
    assert main(["export", str(folder), "--out", str(tmp_path / "again")]) == 0
    manifest = json.loads((tmp_path / "again" / "distill.json").read_text("utf-8"))
    assert list(manifest["formats"]) == ["numpy", "numpy-int8"]
    np.testing.assert_array_equal(load(tmp_path / "again").logits(texts), together)
    onnx = ["--formats", "onnx"]
    assert main(["export", str(folder), "--out", str(tmp_path / "again"), *onnx]) == 2
    assert "a static student has no format 'onnx'" in capsys.readouterr().err
    for place in (folder, folder / "bundle"):
        assert main(["inspect", str(place), "the film"]) == 2
        assert "a static student has no layers to look into" in capsys.readouterr().err


def test_vectors_narrower_than_the_teachers(tmp_path: Path, tiny_recipe: Path, sentences) -> None:
    texts, data = sentences[0], kinds.write_rows("vectors", tmp_path, *sentences)
    teacher = {"model": recipe_at(tiny_recipe)["teacher"]["model"]}
    objectives = [{"kind": "vector"}, {"kind": "similarity"}]
    stages = [
        {"kind": "distill", "epochs": 1, "lr": 1e-3, "objectives": objectives},
        {"kind": "export", "max_drop": 1.0},
    ]
    path = static(tiny_recipe, task={"kind": "vectors"}, data=data, teacher=teacher, stages=stages)
    run(load_recipe(path), tmp_path / "run")
    vectors = load(tmp_path / "run").encode(texts[:3])
    assert vectors.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
