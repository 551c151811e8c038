"""A run of each kind of task, killed while its student learns, ends as one that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import task_kinds as kinds
from run_files import changed, facts, recipe_at

from distill.pipeline.runner import resume, run
from distill.recipe.loader import load_recipe

STAGE = "02-prediction"
#: Kinds with what of their task is set otherwise; long rows are read in windows.
KINDS: dict[str, dict[str, Any]] = {
    "ner": {},
    "qa": {"no_answer": True},
    "multi_label": {"thresholds": "auto"},
    "regression": {},
    "ranking": {},
    "vectors": {},
}


def recipe_for(path: Path, kind: str, sentences: tuple[list[str], list[int]]) -> Path:
    """The tiny recipe with another task, and a teacher and a student that learn a few steps."""
    recipe = recipe_at(path)
    recipe["teacher"]["finetune"] |= {"epochs": 1}
    objective = "similarity" if kind == "vectors" else "logits"
    student = {"kind": "distill", "name": STAGE[3:], "objectives": [{"kind": objective}]}
    student |= {"epochs": 8, "batch_size": 8, "lr": 1e-3}
    evaluate = recipe["stages"][-1] | {"batch_sizes": [1], "repeats": 1}
    return changed(
        path,
        kind,
        task={"kind": kind, **kinds.TASKS[kind], **KINDS[kind]},
        data=kinds.write_rows(kind, path.parent, *sentences),
        teacher=recipe["teacher"],
        track={},
        baseline=False,
        stages=[student, evaluate],
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_in_the_same_bytes(
    tmp_path: Path, tiny_recipe: Path, sentences: Any, kind: str, killed_at: Any
) -> None:
    recipe = recipe_for(tiny_recipe, kind, sentences)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    sign = broken / STAGE / "checkpoint" / "last.ckpt"
    killed_at(sign, "run", recipe, "--run-dir", broken)
    assert not (broken / STAGE / "done.json").exists()
    results = resume(broken)
    log = (broken / "log.txt").read_text("utf-8")
    assert "[1/3] teacher: done before" in log
    expected = run(load_recipe(recipe), whole)
    files = [
        "01-teacher/model/model.safetensors",
        f"{STAGE}/model/model.safetensors",
        "03-evaluate/predictions.npz",
        "03-evaluate/disagreements.json",
    ]
    for name in files:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    assert facts(whole / STAGE)["history"] == facts(broken / STAGE)["history"]
    scores = [{row["name"]: row["scores"] for row in one["models"]} for one in (expected, results)]
    assert scores[0] == scores[1]
    assert list(scores[0]) == ["linear", "teacher", STAGE[3:]]
