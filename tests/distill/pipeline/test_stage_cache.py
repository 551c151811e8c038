"""Stages taken over from another run: only what is the same, and whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distill.pipeline.stage_cache import take_over
from distill.recipe.loader import load_recipe
from distill.recipe.plan import PlannedStage, plan_stages
from distill.run_folder import RunFolder

HEADER = "stage,step,epoch,metric,value,seconds\n"


@pytest.fixture
def stage() -> PlannedStage:
    return plan_stages(load_recipe("quickstart"))[0]


@pytest.fixture
def done(tmp_path: Path, stage: PlannedStage) -> RunFolder:
    """A run that has done the stage from the inputs `same`."""
    other = RunFolder(tmp_path / "other")
    folder = other.begin(stage, "same")
    (folder / "model").mkdir()
    (folder / "model" / "weights").write_text("learned", "utf-8")
    (folder / "checkpoint").mkdir()
    (folder / "stage.json").write_text("{}", "utf-8")
    other.finish(stage, "same", [folder / "model"])
    rows = "teacher,1,1,loss,0.5,1\nprediction,1,1,loss,0.2,1\n"
    other.metrics.write_text(HEADER + rows, "utf-8")
    return other


def test_what_is_the_same_is_linked(tmp_path: Path, stage: PlannedStage, done: RunFolder) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.metrics.write_text(f"{HEADER}teacher,9,9,loss,9,9\nbaseline,1,1,loss,0.1,1\n", "utf-8")
    (run.begin(stage, "older") / "rest").write_text("", "utf-8")
    siblings = [run.path, tmp_path / "none", done.path]
    assert take_over(run, stage, "same", siblings) == done.path
    assert run.is_done(stage, "same")
    assert sorted(p.name for p in run.stage(stage).iterdir()) == [
        "begun.json", "done.json", "model", "stage.json",
    ]  # fmt: skip
    weights = "model/weights"
    assert (run.stage(stage) / weights).samefile(done.stage(stage) / weights)
    # The stage's curves came along, in the place of what was there of it.
    assert run.metrics.read_text("utf-8").splitlines()[1:] == [
        "baseline,1,1,loss,0.1,1", "teacher,1,1,loss,0.5,1",
    ]  # fmt: skip
    # Beginning it anew leaves the other run alone.
    run.begin(stage, "newer")
    assert done.is_done(stage, "same")


def test_without_links_files_are_copied(
    tmp_path: Path, stage: PlannedStage, done: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    run = RunFolder(tmp_path / "run")
    assert take_over(run, stage, "same", [done.path]) == done.path
    assert run.is_done(stage, "same")
    assert not (run.stage(stage) / "model/weights").samefile(done.stage(stage) / "model/weights")


@pytest.mark.parametrize("issue", ["inputs", "changed", "removed", "torn", "elsewhere"])
def test_what_differs_is_not_taken(
    tmp_path: Path, stage: PlannedStage, done: RunFolder, issue: str
) -> None:
    weights = done.stage(stage) / "model/weights"
    if issue == "changed":
        weights.write_text("something else", "utf-8")
    if issue == "removed":
        weights.unlink()
    if issue == "torn":
        (done.stage(stage) / "done.json").write_text('{"inp', "utf-8")
    if issue == "elsewhere":  # a stage that wrote outside its folder, such as the bundle
        (done.path / "bundle").write_text("", "utf-8")
        done.finish(stage, "same", [done.stage(stage) / "model", done.path / "bundle"])
    run = RunFolder(tmp_path / "run")
    inputs = "others" if issue == "inputs" else "same"
    assert take_over(run, stage, inputs, [done.path]) is None
    assert not run.path.exists()
