"""Runs whose teacher is a file of targets, from the recipe to the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_files import changed, read_lines, recipe_at, write_lines

from distill.runtime import load


@pytest.fixture
def target_recipe(tmp_path: Path, tiny_recipe: Path) -> Path:
    """The tiny recipe with probabilities in the place of its teacher, for all of its rows."""
    recipe, names = recipe_at(tiny_recipe), {}
    for split in ("train", "validation"):
        file = tmp_path / f"{split}.jsonl"
        rows = [row | {"id": number} for number, row in enumerate(read_lines(file))]
        write_lines(file, rows)
        good = [0.9 if row["label"] == "positive" else 0.2 for row in rows]
        lines = [{"id": n, "positive": p, "negative": 1 - p} for n, p in enumerate(good)]
        names[split] = write_lines(tmp_path / f"{split}_targets.jsonl", lines[::-1])
    recipe["data"]["columns"] = {"id": "id"}
    recipe["student"]["model"] = recipe["teacher"]["model"]
    recipe["teacher"] = {"targets": names}
    recipe["stages"][1]["objectives"][0] |= {"temperature": 2, "hard_weight": 0.25}
    del recipe["stages"][0]
    return changed(tiny_recipe, **recipe | {"track": {}})


def done(command: Any) -> Any:
    assert command.returncode == 0, command.stderr
    return command


@pytest.mark.slow
def test_a_file_teaches_through_every_stage(tmp_path: Path, target_recipe: Path, distill) -> None:
    run = tmp_path / "run"
    done(distill("validate", target_recipe))
    plan = done(distill("plan", target_recipe)).stdout
    assert "01-baseline" in plan
    assert "teacher" not in plan
    done(distill("run", target_recipe, "--run-dir", run))
    results = json.loads((run / "results.json").read_text("utf-8"))
    names = [row["name"] for row in results["models"]]
    assert names == ["linear", "baseline", "prediction", "prune", "onnx", "onnx-int8"]
    assert results["targets"]["score"] == 1  # its decisions are the labels
    assert results["targets"]["interval"] == [1, 1]
    assert results["disagreement"]["share"] == pytest.approx(1 - results["models"][-1]["score"])
    assert results["models"][-1]["retention"] == results["models"][-1]["score"]
    assert "in a file" in (run / "bundle" / "README.md").read_text("utf-8")
    assert "targets" in (run / "report.html").read_text("utf-8")
    assert load(run, verify=True).predict(["a good film"])
    done(distill("inspect", run, "a good film"))
    student = run / "02-prediction" / "model" / "model.safetensors"
    before = student.read_bytes()
    # The same numbers in another form are the same teacher; others train the student again.
    file = tmp_path / "train_targets.jsonl"
    rows = sorted(read_lines(file), key=lambda row: row["id"])
    given = [[row["negative"], row["positive"]] for row in rows]
    np.save(tmp_path / "train.npy", np.array(given))
    again = done(distill("resume", run, f"teacher.targets.train={tmp_path / 'train.npy'}"))
    assert "prediction: done before" in again.stderr
    np.save(tmp_path / "train.npy", np.array(given)[:, ::-1])
    changed = done(distill("resume", run))
    assert "baseline: done before" in changed.stderr
    assert "prediction: done before" not in changed.stderr
    assert student.read_bytes() != before


@pytest.mark.slow
def test_the_file_of_a_model_teaches_what_the_model_does(
    tmp_path: Path, tiny_recipe: Path, distill
) -> None:
    """The student's weights are those that the teacher's own logits give, to the bit."""
    from distill.pipeline.runner import prepare
    from distill.recipe.loader import load_recipe
    from distill.run_folder import RunFolder
    from teachers.cache import cached_logits
    from teachers.load import load_model

    recipe = recipe_at(tiny_recipe)
    # The student starts from the pretrained layers in one case and the fine-tuned in the other.
    student = recipe["student"] | {"init": "random"}
    changed(tiny_recipe, baseline=False, track={}, stages=recipe["stages"][1:2], student=student)
    one, two = tmp_path / "one", tmp_path / "two"
    done(distill("run", tiny_recipe, "--run-dir", one))
    workspace = prepare(load_recipe(tiny_recipe))
    teacher = load_model(one / "01-teacher" / "model")
    logits = cached_logits(teacher, workspace.tokenized(workspace.data.train))
    np.save(tmp_path / "logits.npy", logits)
    # An empty first stage's place: seeds depend on a stage's number.
    settings = [
        f"teacher={{targets: {tmp_path / 'logits.npy'}, values: logits}}",
        f"student.model={recipe['teacher']['model']}",
        "baseline=true",
    ]
    done(distill("run", tiny_recipe, *settings, "--run-dir", two))
    weights = [RunFolder(run).path / "02-prediction/model/model.safetensors" for run in (one, two)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_bad_target_stops_before_anything_is_written(
    tmp_path: Path, target_recipe: Path, distill
) -> None:
    file = tmp_path / "train_targets.jsonl"
    file.write_text(file.read_text().replace("0.9", "0.95", 1))
    stopped = distill("run", target_recipe, "--run-dir", tmp_path / "run")
    assert stopped.returncode == 2
    assert "the probabilities add up to 1.05 instead of 1" in stopped.stderr
    assert not (tmp_path / "run").exists()


def test_targets_without_a_validation_part_are_scored_with_the_usual_thresholds(
    tmp_path: Path, target_recipe: Path, caplog
) -> None:
    from distill.pipeline.runner import prepare
    from distill.recipe.loader import load_recipe
    from distill.recipe.plan import plan_stages
    from distill.run_folder import RunFolder
    from distill.stages.context import StageContext
    from distill.stages.ensemble import ensemble_scores

    recipe = recipe_at(target_recipe)
    recipe["task"] |= {"kind": "multi_label", "thresholds": "auto"}
    recipe["stages"] = [recipe["stages"][0]]
    recipe["data"]["test"] = str(tmp_path / "test.jsonl")
    for split in ("train", "validation", "test"):
        rows = read_lines(tmp_path / f"{split.replace('test', 'validation')}.jsonl")
        rows = [{**row, "label": np.atleast_1d(row["label"]).tolist()} for row in rows]
        write_lines(tmp_path / f"{split}.jsonl", rows)
    # A teacher that is sure of little: 0.3 is its highest probability.
    for file in tmp_path.glob("*_targets.jsonl"):
        rows = read_lines(file)
        low = [{name: v if name == "id" else v / 3 for name, v in row.items()} for row in rows]
        write_lines(file, low)
    recipe["teacher"]["targets"]["test"] = str(tmp_path / "validation_targets.jsonl")
    changed(target_recipe, **recipe)

    def scored(*settings: str) -> float:
        caplog.clear()
        workspace = prepare(load_recipe(target_recipe, *settings))
        stages = plan_stages(workspace.recipe)
        context = StageContext(RunFolder(tmp_path), stages[-1], stages, workspace)
        return ensemble_scores(context, workspace.final_split)[workspace.task.primary]

    chosen = scored()
    assert "nothing for the validation examples" not in caplog.text
    usual = scored("teacher.targets.validation=null")
    assert "teacher.targets has nothing for the validation examples" in caplog.text
    assert (chosen, usual) == (1, 0)  # no probability is above the usual threshold of 0.5
