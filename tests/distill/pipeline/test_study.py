"""Studies of tiny models: trials in processes, shared stages once, failures, stops and going on."""

from __future__ import annotations

import os
import re
import signal
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from processes import begun, started_by
from run_files import changed, facts, recipe_at

from distill.evaluation.study import StudyResults, lines, read_study
from distill.pipeline.strategy import Grid
from distill.pipeline.study import default_jobs, run_study
from distill.recipe.plan import Trial
from distill.recipe.study import load_study

VARIANTS: dict[str, Any] = {
    "full": {},
    "teacher": {"stage": "teacher"},
    "no-attention": {"set": {"stages.intermediate.objectives.attention": None}},
    "soft": {"set": {"stages.prediction.objectives.logits.temperature": 3}},
}
Write = Callable[..., Path]


@pytest.fixture
def study(tmp_path: Path, tiny_recipe: Path) -> Write:
    """Write a study of the tiny recipe: one task with two seeds, four variants."""

    def write(tasks: object = None, variants: object = None, **settings: object) -> Path:
        stages = recipe_at(tiny_recipe)["stages"]
        stages = [s for s in stages if s["kind"] in ("distill", "evaluate")]
        changed(tiny_recipe, track={}, baseline=False, stages=stages)
        content = {
            "study": 1,
            "name": "parts",
            "recipe": tiny_recipe.name,
            "folders": {"general": "a student"},
            "tasks": tasks or {"one": {"set": settings, "seeds": [1, 2]}},
            "variants": variants or VARIANTS,
        }
        path = tmp_path / "parts.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
        return path

    return write


def _marks(folder: Path, stage: str, at: str) -> dict[str, tuple[int, int]]:
    # An inode that was freed may be given out again: the time tells the two apart.
    return {
        path.parent.parent.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted((folder / "trials" / at).glob(f"*/{stage}/stage.json"))
    }


def _read(folder: Path) -> StudyResults:
    found = read_study(folder)
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_trials_are_run_once_and_share_what_is_the_same(tmp_path, study, caplog):
    folder = tmp_path / "out"
    variants = VARIANTS | {"general": {"set": {"student.init": "${general}"}}}
    path = study({"short": {"set": {"data.max_length": 16}}, "long": {"seeds": [1, 2]}}, variants)
    loaded = load_study(path, "stages.intermediate.epochs=1")
    assert list(loaded.skipped) == ["general"]
    results = run_study(loaded, folder, jobs=2, keep_models=True)
    assert [trial.status for trial in results.trials] == ["done"] * 12
    # Order: the first seed of every task, then the second.
    assert [trial.seed for trial in results.trials] == [7] * 4 + [1] * 4 + [2] * 4

    # The teacher was trained once for a task and seed; the others' files are the same files.
    teachers = _marks(folder, "01-teacher", "short/seed-7")
    assert (len(teachers), len(set(teachers.values()))) == (4, 1)
    assert _marks(folder, "01-teacher", "long/seed-1") != teachers
    steps = _marks(folder, "02-intermediate", "short/seed-7")
    assert steps["soft"] == steps["full"] != steps["no-attention"]
    assert len(set(_marks(folder, "03-prediction", "short/seed-7").values())) == 3
    # No stage after the scored one was done, and what a trial says is in its log.
    assert not list(folder.glob("trials/*/*/*/04-*"))
    assert not (folder / "trials/short/seed-7/teacher/02-intermediate").exists()
    run = folder / "trials/short/seed-7/soft"
    log = (run / "log.txt").read_text("utf-8")
    assert "intermediate: taken over from" in log
    assert "prediction (distill)" in log
    curves = (run / "metrics.csv").read_text("utf-8")
    assert {row.split(",")[0] for row in curves.splitlines()[1:]} == {
        "teacher", "intermediate", "prediction",
    }  # fmt: skip

    # The table's numbers are those of the stages.
    told = {
        (trial.variant, trial.seed): facts(folder / trial.folder / stage)["score"]
        for trial in results.trials
        for stage in ["01-teacher" if trial.variant == "teacher" else "03-prediction"]
    }
    full, teacher, *_ = lines(results)
    assert full.entries[0].mean == told["full", 7]
    assert full.entries[0].deviation is None
    long = [told["full", 1], told["full", 2]]
    assert full.entries[1].mean == pytest.approx(sum(long) / 2)
    assert full.entries[1].deviation == pytest.approx(statistics.stdev(long))
    assert full.average == pytest.approx((told["full", 7] + sum(long) / 2) / 2)
    assert teacher.difference == pytest.approx(teacher.average - full.average)

    # Again: nothing is done again. A changed setting does again what depends on it.
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("stage.json")}
    assert run_study(loaded, folder).trials == results.trials
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("stage.json")}
    other = load_study(path, "stages.intermediate.epochs=1", "stages.prediction.lr=2e-3")
    run_study(
        other, folder, wanted=lambda t: (t.variant, t.task) == ("full", "short"), keep_models=True
    )
    changed = {p for p in before if p.stat().st_mtime_ns != before[p]}
    assert changed == {folder / "trials/short/seed-7/full" / "03-prediction" / "stage.json"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_any_number_of_jobs_and_a_kill_end_in_the_same_bytes(tmp_path, study, distill):
    path = study(**{"teacher.finetune.epochs": 12, "teacher.finetune.patience": None})
    words = ["study", str(path), "seed=1", "--only", "full,no-attention", "--keep-models"]
    words += ["--run-dir"]
    one = distill(*words, tmp_path / "alone", "--jobs", "1")
    assert one.returncode == 0, one.stderr
    both = tmp_path / "both"
    sign = both / "trials/one/seed-1/full/01-teacher/checkpoint/last.ckpt"
    process, _ = begun([*words, str(both), "--jobs", "2"], tmp_path, sign)
    workers = started_by(process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # Its trials notice, and stop.
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    two = distill(*words, both, "--jobs", "2")
    assert two.returncode == 0, two.stderr
    assert one.stdout.replace("/alone/", "/both/") == two.stdout
    alone, both = (_weights(tmp_path / name) for name in ("alone", "both"))
    assert len(alone) == 2 + 2 + 2
    assert alone == both
    scores = [[(t.folder, t.key, t.scores) for t in _read(tmp_path / name).trials]
              for name in ("alone", "both")]  # fmt: skip
    assert scores[0] == scores[1]
    # The command tells of beginnings and ends; the rest is in the logs.
    assert "prediction (distill)" not in two.stderr
    assert "trial 2 of 2: " in two.stderr
    assert "2 of 2 trials done, " in two.stderr


def _weights(folder: Path) -> dict[str, bytes]:
    found = folder.rglob("model.safetensors")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_trial_that_fails_shows_its_error_and_is_tried_again(tmp_path, study, distill):
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"text": "a film", "label": "mixed"}\n', "utf-8")
    variants = {"wrong": {"set": {"data.train": str(wrong)}}, "full": {}}
    path = study(variants=variants)
    words = ["study", path, "seed=1", "--run-dir", tmp_path / "out", "--jobs", "1"]
    first = distill(*words)
    assert first.returncode == 1, first.stderr
    failed, full = _read(tmp_path / "out").trials
    assert (failed.variant, failed.status, full.status) == ("wrong", "failed", "done")
    assert failed.reason.startswith(f"{wrong}: all 1 examples have the label 'mixed'")
    assert f"note: wrong, one, seed 1 failed: {wrong}: all 1 examples" in first.stdout
    assert re.search(r"^wrong +failed", first.stdout, re.MULTILINE)
    assert f"1 failed: {wrong}: all 1 examples" in (tmp_path / "out/report.html").read_text("utf-8")
    # What is fixed is done, what was done stays.
    variants["wrong"] = {"set": {"stages.prediction.lr": 1e-4}}
    path = study(variants=variants)
    again = distill(*words)
    assert again.returncode == 0, again.stderr
    assert "2 trials, 1 to be done" in again.stderr
    assert [trial.status for trial in _read(tmp_path / "out").trials] == ["done", "done"]
    # Weights that no other trial needs are gone, but for the teachers'.
    kept = {p.parent.parent.name for p in (tmp_path / "out").rglob("model.safetensors")}
    assert kept == {"01-teacher"}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_stop_leaves_checkpoints_and_ends_every_process(tmp_path, study):
    path = study(**{"teacher.finetune.epochs": 4000, "teacher.finetune.patience": None})
    words = ["study", str(path), "--run-dir", str(tmp_path / "out"), "--jobs", "2"]
    trials = tmp_path / "out/trials/one"
    sign = trials / "seed-1/full/01-teacher/checkpoint/last.ckpt"
    process, said = begun(words, tmp_path, sign)
    workers = started_by(process)
    assert workers
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, said.read_text("utf-8")
    assert f"interrupted; the same command goes on in {tmp_path / 'out'}" in said.read_text("utf-8")
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    assert (trials / "seed-1/full/01-teacher/checkpoint/last.ckpt").is_file()
    assert _read(tmp_path / "out").trials == []  # nothing failed of it
    log = (trials / "seed-1/full/log.txt").read_text("utf-8")
    assert "stopping after this step with a checkpoint" in log


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_killed_worker_is_a_failed_trial_and_the_rest_goes_on(tmp_path, study, distill):
    path = study(**{"teacher.finetune.epochs": 15})
    words = ["study", str(path), "--run-dir", str(tmp_path / "out"), "--jobs", "2"]
    words += ["--only", "full,teacher"]
    sign = tmp_path / "out/trials/one/seed-1/full/01-teacher/checkpoint/last.ckpt"
    process, said = begun(words, tmp_path, sign)
    (held,) = [w for w in started_by(process) if _works_in(w, "seed-1/full")]
    held.kill()
    assert process.wait(120) == 1, said.read_text("utf-8")
    results = _read(tmp_path / "out")
    (failed,) = results.failures()
    assert (failed.variant, failed.seed) == ("full", 1)
    assert failed.reason.startswith("its process was ended by signal 9; is memory short?")
    assert len(results.trials) == 4
    done = distill(*words)
    assert done.returncode == 0, done.stderr
    assert "trial 1 of 1: full, one, seed 1" in done.stderr
    log = (tmp_path / "out/trials/one/seed-1/full/log.txt").read_text("utf-8")
    assert "[1/4] teacher: taken over from" in log  # another trial did it in its place


def _works_in(process: psutil.Process, trial: str) -> bool:
    return any(trial in file.path for file in process.open_files())


def test_a_stage_under_way_is_waited_for(study, tmp_path) -> None:
    trials = load_study(study()).trials
    grid = Grid(trials, tmp_path)
    first, other = grid.next(), grid.next()
    assert first is trials[0]
    assert _name(other) == "full-2"
    assert grid.next() is None
    assert first is not None
    mark = tmp_path / first.folder / "01-teacher" / "done.json"
    mark.parent.mkdir(parents=True)
    mark.write_text("{}", "utf-8")
    # `soft` shares the intermediate step, which the first has not done.
    assert [_name(grid.next()) for _ in range(3)] == ["teacher-1", "no-attention-1", None]
    grid.ended(first, None)  # type: ignore[arg-type]
    assert [_name(grid.next()) for _ in range(2)] == ["soft-1", None]


def _name(trial: Trial | None) -> str | None:
    return f"{trial.variant}-{trial.seed}" if trial else None


def test_timed_trials_run_alone_unless_asked(study, tmp_path) -> None:
    assert default_jobs(load_study(study(variants={"a": {"stage": "evaluate"}})).trials) == 1
