"""A kind of task that is not the package's goes from its recipe to an int8 bundle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from run_files import changed, read_lines, recipe_at, write_lines

from distill.evaluation.error_analysis import read_predictions
from distill.inspection.inspect_text import inspect_text
from distill.inspection.subjects import find_subjects
from distill.pipeline.runner import run
from distill.recipe.loader import load_recipe
from distill.recipe.schema import Recipe
from distill.runtime import load
from distill.system.errors import RecipeError
from distill.tasks import KINDS, register

#: The folder that holds the package ``ordinal``.
FOLDER = Path(__file__).parents[1] / "tasks"
LABELS = ["bad", "fair", "good"]


@pytest.fixture
def ordinal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(FOLDER))
    register("ordinal", "ordinal")
    yield
    del KINDS["ordinal"]
    Recipe.model_rebuild(force=True)


def recipe_for(path: Path) -> Path:
    """The tiny recipe with labels in an order: every fifth text is neither good nor bad."""
    for split in ("train", "validation"):
        file = Path(recipe_at(path)["data"][split])
        rows = read_lines(file)
        for number, row in enumerate(rows):
            row["label"] = "good" if row["label"] == "positive" else "bad"
            row["label"] = "fair" if number % 5 == 4 else row["label"]
        write_lines(file, rows)
    return changed(path, task={"kind": "ordinal", "labels": LABELS}, track={})


@pytest.mark.usefixtures("ordinal")
def test_its_section_is_read_and_its_mistakes_are_told(tiny_recipe: Path) -> None:
    path = recipe_for(tiny_recipe)
    assert load_recipe(path).task.kind == "ordinal"
    assert "ordinal" in Recipe.model_json_schema()["properties"]["task"]["discriminator"]["mapping"]
    with pytest.raises(RecipeError, match=r"task\.metric: .*'closeness' or 'accuracy'"):
        load_recipe(path, "task.metric=f1")
    with pytest.raises(ValueError, match="a kind of task 'qa' already"):
        register("qa", "ordinal")


@pytest.mark.slow
@pytest.mark.usefixtures("ordinal")
def test_from_recipe_to_int8_bundle(tmp_path: Path, tiny_recipe: Path) -> None:
    results = run(load_recipe(recipe_for(tiny_recipe)), tmp_path / "run")
    rows = {row["name"]: row for row in results["models"]}
    assert {"linear", "teacher", "prediction", "prune", "onnx", "onnx-int8"} <= set(rows)
    assert (results["task"], results["metric"]) == ("ordinal", "closeness")
    assert rows["onnx"]["score"] == pytest.approx(rows["prune"]["score"], abs=1e-3)
    assert set(rows["onnx-int8"]["label_scores"]) == set(LABELS)
    kept = read_predictions(next((tmp_path / "run").glob("*-evaluate/predictions.npz")))
    assert (kept.task, list(kept.models)) == ("ordinal", list(rows))
    found = inspect_text(find_subjects(tmp_path / "run"), "the best film")
    assert found.student.predicted in LABELS
    bundle = tmp_path / "run" / "bundle"
    assert "one of 3 labels: bad, fair, good, in this order" in (bundle / "README.md").read_text()
    for one in load(bundle).predict(["a good film", "a bad film"]):
        shares = np.cumsum(list(one["probabilities"].values()))
        assert one["label"] == LABELS[int((shares < 0.5).sum())]  # the median


@pytest.mark.parametrize("package", ["ordinal", "nowhere"])
def test_an_installed_package_adds_its_kinds(
    tmp_path: Path, tiny_recipe: Path, package: str
) -> None:
    info = tmp_path / "site" / "ordinal-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ordinal\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[distill.tasks]\nordinal = {package}\n")
    path = os.pathsep.join([str(info.parent), str(FOLDER), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "distill", "validate", str(recipe_for(tiny_recipe))]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    if package == "ordinal":
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 2
        assert "the package 'nowhere' of the kind 'ordinal' cannot be imported" in done.stderr
