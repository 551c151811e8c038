"""An ablation of tiny models: cells, shared stages, failures, and going on."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
import yaml

from distill.cli.main import main
from distill.errors import UserError
from distill.evaluation.ablation import lines
from distill.pipeline import cell as running
from distill.pipeline.ablation import ablate
from distill.recipe.ablation import load_ablation


@pytest.fixture
def ablation(tmp_path: Path, tiny_recipe: Path) -> Path:
    """An ablation of the tiny recipe: two tasks (one with two seeds), five variants."""
    recipe = yaml.safe_load(tiny_recipe.read_text("utf-8"))
    del recipe["track"]
    recipe["baseline"] = False
    recipe["stages"] = [s for s in recipe["stages"] if s["kind"] in ("distill", "evaluate")]
    recipe["teacher"]["finetune"]["lr"] = recipe["stages"][1]["lr"] = 5e-3
    tiny_recipe.write_text(yaml.safe_dump(recipe), "utf-8")
    data = {"data.train": "${data}/train.jsonl", "data.validation": "${data}/validation.jsonl"}
    content = {
        "ablation": 1,
        "name": "parts",
        "recipe": "tiny.yaml",
        "folders": {"data": "train.jsonl and validation.jsonl", "general": "a student"},
        "tasks": {
            "short": {"set": {**data, "data.max_length": 16}},
            "long": {"set": data, "seeds": [1, 2]},
        },
        "variants": {
            "full": {},
            "teacher": {"stage": "teacher"},
            "no-attention": {"set": {"stages.intermediate.objectives.attention": None}},
            "soft": {"set": {"stages.prediction.objectives.logits.temperature": 3}},
            "general": {"set": {"student.init": "${general}"}},
        },
    }
    path = tmp_path / "parts.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return path


def _marks(
    folder: Path, stage: str, cell: str = "cells/short/seed-7"
) -> dict[str, tuple[int, int]]:
    # An inode that was freed may be given out again: the time tells the two apart.
    return {
        path.parent.parent.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted((folder / cell).glob(f"*/{stage}/stage.json"))
    }


def test_cells_are_trained_once_and_share_what_is_the_same(tmp_path, ablation, caplog):
    folder = tmp_path / "out"
    loaded = load_ablation(
        ablation, "stages.intermediate.epochs=1", folders={"data": str(tmp_path)}
    )
    assert len(loaded.cells) == 4 * 3
    assert list(loaded.skipped) == ["general"]
    results = ablate(loaded, folder, keep_models=True)
    assert [cell.status for cell in results.cells] == ["done"] * 12
    # Order: the first seed of every task, then the second.
    assert [cell.seed for cell in results.cells] == [7] * 4 + [1] * 4 + [2] * 4

    # The teacher was trained once for a task and seed; the others' files are the same files.
    assert len(set(_marks(folder, "01-teacher").values())) == 1
    assert len(_marks(folder, "01-teacher")) == 4
    steps = _marks(folder, "02-intermediate")
    assert steps["soft"] == steps["full"] != steps["no-attention"]
    predictions = _marks(folder, "03-prediction")
    assert len(set(predictions.values())) == 3
    assert _marks(folder, "01-teacher", "cells/long/seed-1") != _marks(folder, "01-teacher")
    # No stage after the scored one was done.
    assert not list(folder.glob("cells/*/*/*/04-*"))
    assert not (folder / "cells/short/seed-7/teacher/02-intermediate").exists()
    # The curves came along.
    curves = (folder / "cells/short/seed-7/soft/metrics.csv").read_text("utf-8")
    assert {row.split(",")[0] for row in curves.splitlines()[1:]} == {
        "teacher", "intermediate", "prediction",
    }  # fmt: skip

    # The table's numbers are those of the stages.
    told = {
        (cell.variant, cell.seed): json.loads(
            (folder / cell.folder / stage / "stage.json").read_text("utf-8")
        )["score"]
        for cell in results.cells
        for stage in ["01-teacher" if cell.variant == "teacher" else "03-prediction"]
    }
    full, teacher, *_ = lines(results)
    assert full.entries[0].mean == told["full", 7]
    assert full.entries[0].deviation is None
    long = [told["full", 1], told["full", 2]]
    assert full.entries[1].mean == pytest.approx(sum(long) / 2)
    assert full.entries[1].deviation == pytest.approx(statistics.stdev(long))
    assert full.average == pytest.approx((told["full", 7] + sum(long) / 2) / 2)
    assert teacher.difference == pytest.approx(teacher.average - full.average)
    assert full.difference == 0

    # Again: nothing is done again.
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("stage.json")}
    caplog.clear()
    assert ablate(loaded, folder).cells == results.cells
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("stage.json")}
    # A changed setting does again what hangs on it.
    other = load_ablation(
        ablation, "stages.intermediate.epochs=1", "stages.prediction.lr=2e-3",
        folders={"data": str(tmp_path)},
    )  # fmt: skip
    ablate(other, folder, wanted=lambda cell: cell.variant == "full" and cell.task == "short")
    changed = _marks(folder, "03-prediction")
    assert changed["full"] != predictions["full"]
    assert _marks(folder, "02-intermediate") == steps


def test_a_cell_that_fails_is_told_and_tried_again(tmp_path, ablation, monkeypatch):
    content = yaml.safe_load(ablation.read_text("utf-8"))
    del content["variants"]["general"], content["variants"]["teacher"], content["variants"]["soft"]
    content["variants"]["diverges"] = {"set": {"stages.prediction.lr": 0.9}}
    ablation.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    real = running.go_on

    def go_on(recipe, run_dir, **rest):
        if "diverges" in str(run_dir):
            raise UserError("prediction: the loss is not a number; lower lr")
        if "no-attention" in str(run_dir):
            raise ZeroDivisionError("ours")
        return real(recipe, run_dir, **rest)

    monkeypatch.setattr(running, "go_on", go_on)
    words = ["ablate", str(ablation), "--data", str(tmp_path), "--task", "short"]
    words += ["--run-dir", str(tmp_path / "out"), "--markdown", str(tmp_path / "table.md")]
    words += ["--jobs", "1"]
    assert main(words) == 1
    table = (tmp_path / "table.md").read_text("utf-8")
    assert "diverges | failed" in table
    assert "with seed 7 failed: prediction: the loss is not a number; lower lr" in table
    assert "failed: ZeroDivisionError: ours" in table
    assert f"distill ablate {ablation} --data DIR" in table
    monkeypatch.setattr(running, "go_on", real)
    assert main([*words, "--only", "no-attention"]) == 1  # one that failed is still there
    assert main(words) == 0
    assert "failed" not in (tmp_path / "table.md").read_text("utf-8")


def test_an_interrupted_ablation_goes_on_and_keeps_no_weights(
    tmp_path, ablation, monkeypatch, capsys
):
    words = ["ablate", str(ablation), "--data", str(tmp_path), "--run-dir", str(tmp_path / "out")]
    words += ["--task", "short", "--only", "full,soft", "--jobs", "1"]
    real = running.go_on

    def go_on(recipe, run_dir, **rest):
        if run_dir.name == "soft":
            raise KeyboardInterrupt
        return real(recipe, run_dir, **rest)

    monkeypatch.setattr(running, "go_on", go_on)
    assert main(words) == 130
    assert "go on with: the same command" in capsys.readouterr().err
    cells = tmp_path / "out/cells/short/seed-7"
    # `soft` needs the intermediate step of `full`, and nobody its prediction.
    assert (cells / "full/02-intermediate/model").is_dir()
    assert not (cells / "full/03-prediction/model").exists()
    before = (cells / "full/03-prediction/stage.json").stat().st_mtime_ns

    monkeypatch.setattr(running, "go_on", real)
    assert main(words) == 0
    said = capsys.readouterr()
    assert "cell 1 of 1: soft, short, seed 7" in said.err
    assert "intermediate: taken over from" in said.err
    assert (cells / "full/03-prediction/stage.json").stat().st_mtime_ns == before
    assert not list(cells.glob("*/03-prediction/model"))
    assert (cells / "full/01-teacher/model").is_dir()
    assert (tmp_path / "out/report.html").is_file()

    # The table so far, as a table and as JSON, without running anything.
    monkeypatch.setattr(running, "go_on", None)
    assert main([*words, "--results", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(cell["variant"], cell["status"]) for cell in told["cells"]] == [
        ("full", "done"), ("soft", "done"),
    ]  # fmt: skip
    assert told["machine"]["cores"] >= 1
