"""A recipe on two devices through the command line: as with one, and gone on with after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from distill.cli.main import main

WEIGHTS = [f"{stage}/model/model.safetensors" for stage in ("01-teacher", "02-intermediate")]


@pytest.fixture
def two_stages(tiny_recipe: Path) -> Path:
    """The recipe with only its first trainings, on two devices, and an evaluation."""
    recipe = yaml.safe_load(tiny_recipe.read_text("utf-8"))
    recipe |= {"stages": [recipe["stages"][0], recipe["stages"][-1]], "baseline": False}
    recipe |= {"track": {}}
    recipe["trainer"] |= {"devices": 2, "accelerator": "cpu"}
    path = tiny_recipe.with_name("two.yaml")
    path.write_text(yaml.safe_dump(recipe), "utf-8")
    return path


def _killed(words: list[str], sign: Path, cwd: Path) -> list[psutil.Process]:
    """Start a command, SIGKILL the process that was started once ``sign`` is there; the others."""
    command = [sys.executable, "-m", "distill", *words]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=cwd, stdout=quiet, stderr=quiet)
    deadline = time.monotonic() + 180
    while not sign.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    others = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return others


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_on_two_devices_ends_alike_when_killed(tmp_path, two_stages, distill):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = distill("run", two_stages, "--run-dir", whole)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("teacher: epoch")]
    assert len(told) == 2, told  # by one process, not by both
    results = json.loads((whole / "results.json").read_text("utf-8"))
    assert [model["name"] for model in results["models"]] == ["linear", "teacher", "intermediate"]
    words = ["run", str(two_stages), "--run-dir", str(broken)]
    others = _killed(words, broken / "02-intermediate" / "checkpoint" / "last.ckpt", tmp_path)
    assert len(others) >= 1
    assert psutil.wait_procs(others, timeout=30)[1] == []
    done = distill("resume", broken)
    assert done.returncode == 0, done.stderr
    assert "intermediate: goes on from step" in done.stderr
    for name in WEIGHTS:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    _measured_again(broken, distill)


def _measured_again(run: Path, distill) -> None:
    """The evaluation with everything it can measure, and the ledger at its end."""
    settings = ["lengths=[real,8]", "against=bert-base", "memory=true"]
    done = distill("resume", run, *(f"stages.evaluate.{setting}" for setting in settings))
    assert done.returncode == 0, done.stderr
    assert "faster than bert-base" in done.stdout
    assert "ledger: what each step paid and brought" in done.stdout
    assert "at real lengths (" in done.stdout
    results = json.loads((run / "results.json").read_text("utf-8"))
    assert results["real_lengths"]["rows"] == 16
    assert results["reference"]["parameters"] > 109e6
    for model in results["models"]:
        assert set(model["latency_ms"]) == {"b1_real", "b4_real", "b1_l8", "b4_l8"}
        assert model["name"] == "linear" or model["memory_mb"] > 100
        assert model["against"]["size"] > 1
    page = (run / "report.html").read_text("utf-8")
    assert "faster than bert-base" in page


def test_refusals(tmp_path, two_stages, monkeypatch, capsys):
    words = ["run", str(two_stages), "--run-dir", str(tmp_path / "run")]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(words) == 2
    assert "start it once, without torchrun" in capsys.readouterr().err
    assert main([*words, "trainer.strategy=ddp"]) == 2
    assert "trainer.strategy: unknown key" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
