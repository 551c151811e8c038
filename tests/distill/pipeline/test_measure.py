"""`plan --measure`: real steps of every training, times their number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from run_files import recipe_at

from distill.cli.main import main
from distill.report.plan import plan_lines

Capture = pytest.CaptureFixture[str]


def test_steps_are_timed_and_counted(tiny_recipe: Path, capsys: Capture, tmp_path: Path) -> None:
    recipe = recipe_at(tiny_recipe) | {"seeds": [7, 8]}
    del recipe["seed"]
    tiny_recipe.write_text(yaml.safe_dump(recipe), "utf-8")
    words = ["plan", str(tiny_recipe), "stages.prune.schedule=linear", "stages.prune.steps=3"]
    assert main([*words, "--measure", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    measured = plan["measured"]
    assert measured["rows"] == 48
    # 6 batches of 8 rows; pruning recovers for an epoch after each of two rounds, then for two.
    assert {name: stage["steps"] for name, stage in measured["stages"].items()} == {
        "teacher": 12, "baseline": 24, "intermediate": 12, "prediction": 12, "prune": 24,
    }  # fmt: skip
    for name, stage in measured["stages"].items():
        assert stage["step_seconds"] > 0
        assert stage["validations"] == (0 if name == "intermediate" else stage["steps"] / 6)
        seconds = stage["steps"] * stage["step_seconds"]
        seconds += stage["validations"] * stage["validation_seconds"]
        assert stage["seconds"] == pytest.approx(seconds, abs=0.1)
    assert not (tmp_path / "runs").exists()
    lines = plan_lines(plan)  # what is printed without --json
    assert lines[2].split() == ["stage", "kind", "time", "what"]
    (line,) = (line for line in lines if line.startswith("training: "))
    assert "for 84 steps on 48 rows, measured on 20 steps of each stage here (" in line
    assert any(line.startswith("not in it: preparing data, the teacher's logits") for line in lines)
    assert lines[-1].endswith("once for each of 7, 8; the time is one seed's")


def test_nothing_to_measure(tiny_recipe: Path, capsys: Capture) -> None:
    words = ["teacher.finetune=null", "baseline=false", "stages=[{kind: evaluate}]"]
    assert main(["plan", str(tiny_recipe), *words, "--measure"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: tiny: no stage trains weights, so there is nothing to measure"
    )
