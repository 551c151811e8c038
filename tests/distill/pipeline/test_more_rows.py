"""Further rows (``data.more``), and rows that must choose nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from run_files import changed, facts, recipe_at, write_lines

from distill import load_recipe, run
from distill.cli.main import main
from distill.evaluation.error_analysis import read_predictions
from distill.evaluation.results import Results
from distill.report.table import models_table


@pytest.fixture
def recipe_file(tiny_recipe: Path):
    """The tiny recipe with one logits stage and an evaluation, and further data settings."""

    def put(name: str, **data: object) -> Path:
        recipe = recipe_at(tiny_recipe)
        prediction = recipe["stages"][1] | {"val_check_interval": 0.34}
        recipe |= {"baseline": False, "track": {}, "stages": [prediction, recipe["stages"][-1]]}
        recipe["data"] |= data
        return changed(tiny_recipe, name, **recipe)

    return put


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def plain(recipe_file, kept: Path, tmp_path: Path) -> Path:
    """A finished run without further rows, made once and free to be changed."""
    if not kept.exists():
        run(load_recipe(recipe_file("plain")), kept)
    return Path(shutil.copytree(kept, tmp_path / "plain"))


def _rows(path: Path, label: str) -> str:
    words = ["good", "bad", "great", "poor", "fine", "dull", "best"]
    return write_lines(path, [{"text": f"the {word} film", "label": label} for word in words])


def test_every_model_is_scored_on_further_rows_and_nothing_hangs_on_them(
    tmp_path, recipe_file, plain
):
    names = ("negative", "positive")
    ups, downs = (_rows(tmp_path / f"{name}.jsonl", name) for name in names)
    more = tmp_path / "more"
    run(load_recipe(recipe_file("more", more={"up": ups, "down": downs}, test=ups)), more)
    results = json.loads((more / "results.json").read_text("utf-8"))
    for row in results["models"]:
        assert list(row["more_scores"]) == ["up", "down"]
        # Every text is in both sets, with the other label: what is right in one is wrong there.
        total = sum(row["more_scores"][name]["accuracy"] for name in ("up", "down"))
        assert total == pytest.approx(1)
        assert row["score"] == row["more_scores"]["up"]["accuracy"]
    assert models_table(Results.model_validate(results)).header[2:6] == [
        "accuracy",
        "±95 %",
        "up accuracy",
        "down accuracy",
    ]
    assert "down accuracy" in (more / "report.html").read_text("utf-8")
    # Neither further rows nor test examples chose a checkpoint or a weight.
    for stage in ("01-teacher", "02-prediction"):
        weights = [
            (folder / stage / "model/model.safetensors").read_bytes() for folder in (plain, more)
        ]
        assert weights[0] == weights[1]
        told = [facts(folder / stage) for folder in (plain, more)]
        assert told[0]["history"] == told[1]["history"]
        assert told[0]["best_step"] == told[1]["best_step"]


def test_a_student_reads_further_rows_with_the_vocabulary_it_has(tmp_path, recipe_file):
    ups = _rows(tmp_path / "up.jsonl", "positive")
    file = recipe_file("trimmed", more={"up": ups}, test=ups)
    recipe = load_recipe(file, "stages.+evaluate={kind: prune, method: vocabulary}")
    results = run(recipe, tmp_path / "run")
    assert [row["name"] for row in results["models"]] == [
        "linear",
        "teacher",
        "prediction",
        "prune",
    ]
    for row in results["models"]:  # the same rows
        assert row["scores"] == row["more_scores"]["up"]


def test_the_linear_model_and_the_noise_and_how_to_leave_it_out(tmp_path, plain):
    folder = plain
    results = json.loads((folder / "results.json").read_text("utf-8"))
    kept = read_predictions(folder / "03-evaluate" / "predictions.npz")
    assert list(kept.models) == [row["name"] for row in results["models"]]
    right = {
        name: own["outputs"].argmax(axis=-1) == kept.shared["targets"]
        for name, own in kept.models.items()
    }
    for row in results["models"]:
        low, high = row["interval"]
        assert low <= row["score"] <= high
        assert row["score"] == pytest.approx(right[row["name"]].mean())
    changes = {(one["model"], one["than"]): one for one in results["changes"]}
    assert set(changes) == {
        ("teacher", "linear"), ("teacher", "majority"), ("prediction", "teacher"),
        ("prediction", "linear"),
    }  # fmt: skip
    change = changes["teacher", "linear"]
    assert change["change"] == pytest.approx(right["teacher"].mean() - right["linear"].mean())
    page = (folder / "report.html").read_text("utf-8")
    assert "linear: needs no neural network" in page
    assert "Measured on" in page
    below = "the teacher does not beat" in page
    assert below == (change["low"] <= 0 or changes["teacher", "majority"]["low"] <= 0)
    # Evaluated again, on further rows too, with nothing trained again.
    rows = _rows(tmp_path / "up.jsonl", "positive")
    assert main(["resume", str(folder), "linear=false", f"data.more={{up: {rows}}}"]) == 0
    assert (folder / "log.txt").read_text("utf-8").count("done before") == 2
    without = json.loads((folder / "results.json").read_text("utf-8"))
    assert [row["name"] for row in without["models"]] == ["teacher", "prediction"]
    assert set(without["models"][0]["more_scores"]) == {"up"}
    assert not any("linear" in (one["model"], one["than"]) for one in without["changes"])


@pytest.mark.slow
def test_an_evaluation_measures_everything_it_can(tmp_path, recipe_file, distill):
    folder = tmp_path / "run"
    settings = ["lengths=[real,8]", "against=bert-base", "memory=true", "batch_sizes=[1]"]
    words = [f"stages.evaluate.{setting}" for setting in settings]
    done = distill("run", recipe_file("plain"), *words, "--run-dir", folder)
    assert done.returncode == 0, done.stderr
    assert "faster than bert-base" in done.stdout
    assert "ledger: what each step cost and gained" in done.stdout
    assert "at real lengths (" in done.stdout
    results = json.loads((folder / "results.json").read_text("utf-8"))
    assert results["real_lengths"]["rows"] == 16
    assert results["reference"]["parameters"] > 109e6
    for model in results["models"]:
        assert set(model["latency_ms"]) == {"b1_real", "b1_l8"}
        assert model["name"] == "linear" or model["memory_mb"] > 100
        assert model["against"]["size"] > 1
    assert "faster than bert-base" in (folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("{up: nowhere.jsonl}", "data.more.up: no such file: nowhere.jsonl"),
        ("{Up: x.jsonl}", "data.more"),
    ],
)
def test_wrong_further_rows_are_told(recipe_file, capsys, more, said):
    assert main(["validate", str(recipe_file("plain")), f"data.more={more}"]) == 2
    assert said in capsys.readouterr().err
