"""Cells in several processes: the same table, shared stages once, deaths, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from distill.evaluation.ablation import read_ablation
from distill.pipeline.ablation_progress import Progress
from distill.pipeline.cell import Job
from distill.pipeline.cell_pool import Schedule
from distill.pipeline.cell_worker import as_line, from_line
from distill.recipe.ablation import Cell, load_ablation

VARIANTS: dict[str, Any] = {
    "full": {},
    "teacher": {"stage": "teacher"},
    "no-attention": {"set": {"stages.intermediate.objectives.attention": None}},
    "soft": {"set": {"stages.prediction.objectives.logits.temperature": 3}},
}


@pytest.fixture
def ablation(tmp_path: Path, tiny_recipe: Path) -> Callable[..., Path]:
    """Write an ablation of the tiny recipe: one task, four variants."""

    def write(**settings: object) -> Path:
        recipe = yaml.safe_load(tiny_recipe.read_text("utf-8"))
        del recipe["track"]
        recipe["baseline"] = False
        recipe["stages"] = [s for s in recipe["stages"] if s["kind"] == "distill"]
        tiny_recipe.write_text(yaml.safe_dump(recipe), "utf-8")
        content = {
            "ablation": 1,
            "name": "parts",
            "recipe": tiny_recipe.name,
            "tasks": {"one": {"set": settings, "seeds": [1, 2]}},
            "variants": VARIANTS,
        }
        path = tmp_path / "parts.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
        return path

    return write


def _weights(folder: Path) -> dict[str, bytes]:
    found = folder.rglob("model.safetensors")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.timeout(300)
def test_two_jobs_end_in_the_bytes_of_one(tmp_path, ablation, distill):
    words = ["ablate", ablation(), "--keep-models", "--run-dir"]
    one = distill(*words, tmp_path / "alone", "--jobs", "1")
    assert one.returncode == 0, one.stderr
    two = distill(*words, tmp_path / "both", "--jobs", "2")
    assert two.returncode == 0, two.stderr
    assert one.stdout.replace("/alone/", "/both/") == two.stdout
    weights = _weights(tmp_path / "both")
    assert len(weights) == 2 * (4 + 3 + 3)
    assert weights == _weights(tmp_path / "alone")
    scores = [
        [(cell.variant, cell.seed, cell.key, cell.scores) for cell in results.cells]
        for name in ("alone", "both")
        if (results := read_ablation(tmp_path / name / "ablation.json"))
    ]
    assert scores[0] == scores[1]

    # What cells share was done once: all have the same file.
    for seed in (1, 2):
        cells = tmp_path / f"both/cells/one/seed-{seed}"
        assert len({p.stat().st_ino for p in cells.glob("*/01-teacher/stage.json")}) == 1
        steps = {p.parts[-3]: p.stat().st_ino for p in cells.glob("*/02-intermediate/stage.json")}
        assert steps["soft"] == steps["full"] != steps["no-attention"]
    # What a cell says is in its log; the parent tells of beginnings and ends.
    log = (tmp_path / "both/cells/one/seed-1/soft/log.txt").read_text("utf-8")
    assert "intermediate: taken over from" in log
    assert "prediction (distill)" in log
    assert "prediction (distill)" not in two.stderr
    assert "cell 8 of 8: " in two.stderr
    assert two.stderr.count("of 8 cells done; ") == 8
    assert "8 of 8 cells done; " in two.stderr


def _begun(words: list[str], cwd: Path, sign: Path) -> subprocess.Popen[str]:
    """Start a command and wait until it has begun something."""
    process = subprocess.Popen(
        [sys.executable, "-m", "distill", *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, Ctrl-C is ignored by them and what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not sign.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def _workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_stop_leaves_checkpoints_and_the_command_to_go_on(tmp_path, ablation, distill, number):
    path = ablation(**{"teacher.finetune.epochs": 4000, "teacher.finetune.patience": None})
    words = ["ablate", str(path), "--run-dir", str(tmp_path / "out"), "--jobs", "2"]
    cells = tmp_path / "out/cells/one"
    process = _begun(words, tmp_path, cells / "seed-1/full/01-teacher/checkpoint/last.ckpt")
    workers = _workers(process)
    assert workers
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert f"interrupted; go on with: distill {' '.join(words)}" in said
    assert psutil.wait_procs(workers, timeout=10)[1] == []
    assert (cells / "seed-1/full/01-teacher/checkpoint/last.ckpt").is_file()
    assert not (tmp_path / "out/ablation.json").exists()  # nothing failed of it
    log = (cells / "seed-1/full/log.txt").read_text("utf-8")
    assert "stopping after this step with a checkpoint" in log


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_killed_worker_is_a_failed_cell_and_the_rest_goes_on(tmp_path, ablation, distill):
    path = ablation(**{"teacher.finetune.epochs": 40})
    words = ["ablate", str(path), "--run-dir", str(tmp_path / "out"), "--jobs", "2"]
    words += ["--only", "full,teacher"]
    sign = tmp_path / "out/cells/one/seed-1/full/01-teacher/checkpoint/last.ckpt"
    process = _begun(words, tmp_path, sign)
    (held,) = [w for w in _workers(process) if _works_in(w, "seed-1/full")]
    held.kill()
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1, said
    results = read_ablation(tmp_path / "out/ablation.json")
    assert results is not None
    (failed,) = results.failures()
    assert (failed.variant, failed.seed) == ("full", 1)
    assert failed.reason.startswith("its process was ended by signal 9; is memory short?")
    assert len(results.cells) == 4
    done = distill(*words)
    assert done.returncode == 0, done.stderr
    assert "cell 1 of 1: full, one, seed 1" in done.stderr
    log = (tmp_path / "out/cells/one/seed-1/full/log.txt").read_text("utf-8")
    assert "[1/3] teacher: taken over from" in log  # another cell did it in its place


def _works_in(process: psutil.Process, cell: str) -> bool:
    return any(cell in file.path for file in process.open_files())


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_workers_stop_when_their_parent_is_killed(tmp_path, ablation):
    path = ablation(**{"teacher.finetune.epochs": 4000})
    words = ["ablate", str(path), "--run-dir", str(tmp_path / "out"), "--jobs", "2"]
    sign = tmp_path / "out/cells/one/seed-1/full/01-teacher/checkpoint/last.ckpt"
    process = _begun(words, tmp_path, sign)
    workers = _workers(process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert sign.is_file()


def test_a_stage_under_way_is_waited_for(ablation) -> None:
    cells = load_ablation(ablation()).cells
    schedule = Schedule(cells)
    first, other = schedule.begin(), schedule.begin()
    assert first is cells[0]
    assert (other.variant, other.seed) == ("full", 2)  # type: ignore[union-attr]
    assert schedule.begin() is None
    schedule.passed(first, "teacher")
    names = [_name(schedule.begin()) for _ in range(3)]
    assert names == ["teacher-1", "no-attention-1", None]
    # `soft` shares the intermediate step, which the first did not come to.
    schedule.ended(first)
    assert _name(schedule.begin()) == "soft-1"
    assert _name(schedule.begin()) is None
    schedule.ended(other)  # type: ignore[arg-type]
    assert _name(schedule.begin()) == "teacher-2"
    assert len(schedule) == 2


def _name(cell: Cell | None) -> str | None:
    return f"{cell.variant}-{cell.seed}" if cell else None


def test_a_job_as_a_line_is_the_same_job(tmp_path: Path) -> None:
    loaded = load_ablation("tinybert", folders={"data": str(tmp_path)})
    for cell in loaded.cells:
        job = Job(cell, tmp_path, "key", [tmp_path / "a b", tmp_path / "c"])
        line = as_line(job)
        assert "\n" not in line
        assert from_line(line) == job
        json.loads(line)


def test_the_time_left_is_shared_by_the_jobs(ablation) -> None:
    cells = load_ablation(ablation()).cells
    progress = Progress(cells, jobs=2)
    assert progress.begin(cells[0]) == (
        "cell 1 of 8: full, one, seed 1; 0:00 gone, time left not known"
    )
    progress.done(cells[0], 20.0)
    assert progress.seconds_left() == pytest.approx(70)
    assert progress.whole() == "1 of 8 cells done; 0:00 gone, about 1:10 left"
