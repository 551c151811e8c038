"""A recipe on two devices through the command line: as with one, and gone on with after a kill."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from processes import begun, started_by
from run_files import changed, models, recipe_at
from safetensors.numpy import load_file

from distill.cli.main import main

WEIGHTS = [f"{stage}/model/model.safetensors" for stage in ("01-teacher", "02-intermediate")]


@pytest.fixture
def two_stages(tiny_recipe: Path) -> Path:
    """The recipe with only its first trainings, on two devices, and an evaluation."""
    recipe = recipe_at(tiny_recipe)
    trainer = recipe["trainer"] | {"devices": 2, "accelerator": "cpu"}
    stages = [recipe["stages"][0], recipe["stages"][-1]]
    return changed(tiny_recipe, stages=stages, trainer=trainer, baseline=False, track={})


def _stopped(
    words: list[str], sign: Path, cwd: Path, number: signal.Signals
) -> tuple[int, str, list[psutil.Process]]:
    """A command's status, what it said and its processes, when a signal came behind ``sign``."""
    process, said = begun(words, cwd, sign)
    others = started_by(process)
    process.send_signal(number)
    return process.wait(), said.read_text("utf-8"), others


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_on_two_devices_ends_alike_when_killed(tmp_path, two_stages, distill):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = distill("run", two_stages, "--run-dir", whole)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("teacher: epoch")]
    assert len(told) == 2, told  # by one process, not by both
    assert list(models(whole)) == ["linear", "teacher", "intermediate"]
    words = ["run", str(two_stages), "--run-dir", str(broken)]
    sign = broken / "01-teacher" / "checkpoint" / "last.ckpt"
    status, said, others = _stopped(words, sign, tmp_path, signal.SIGINT)
    assert status == 130, said
    assert said.splitlines()[-1] == f"interrupted; go on with: distill resume {broken}"
    assert "Traceback" not in said
    assert psutil.wait_procs(others, timeout=30)[1] == []
    words = ["resume", str(broken)]
    sign = broken / "02-intermediate" / "checkpoint" / "last.ckpt"
    status, said, others = _stopped(words, sign, tmp_path, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert len(others) >= 2
    assert psutil.wait_procs(others, timeout=30)[1] == []
    done = distill("resume", broken)
    assert done.returncode == 0, done.stderr
    assert "intermediate: goes on from step" in done.stderr
    for name in WEIGHTS:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_machines_end_as_one_process_with_the_same_batch(tmp_path, two_stages, distill):
    """Two launchers that meet on the loopback stand for two machines."""
    recipe = recipe_at(two_stages)
    recipe["teacher"]["finetune"]["dropout"] = recipe["stages"][0]["dropout"] = 0.0
    changed(two_stages, **recipe)
    one, two = tmp_path / "one", tmp_path / "two"
    done = distill("run", two_stages, "trainer.devices=1", "--run-dir", one)
    assert done.returncode == 0, done.stderr
    words = ["-m", "distill", "run", two_stages, "--run-dir", two]
    words += ["trainer.devices=1", "trainer.num_nodes=2"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}"]
    where += ["--nnodes=2", "--nproc-per-node=1", "--local-addr=127.0.0.1"]
    command = [sys.executable, "-m", "torch.distributed.run", *where, *words]
    machines = []
    for rank in range(2):
        with (tmp_path / f"{rank}.txt").open("w") as file:
            machines.append(
                subprocess.Popen(command, cwd=tmp_path, stdout=file, stderr=subprocess.STDOUT)
            )
    said = [(tmp_path / f"{rank}.txt").read_text for rank in range(2)]
    assert [machine.wait(400) for machine in machines] == [0, 0], [read() for read in said]
    told = "".join(read() for read in said)
    assert told.count("report: ") == told.count("teacher: epoch 1/") == 1, told
    for name in WEIGHTS:
        ours, theirs = (load_file(folder / name) for folder in (two, one))
        for key, wanted in theirs.items():
            if not key.endswith("attention.self.key.bias"):  # its gradient is rounding
                room = 1e-4 * (np.linalg.norm(wanted) + 0.01)  # of two trainings, one on the other
                assert np.linalg.norm(ours[key] - wanted) <= room, (name, key)


SRUN = """\
for rank in 0 1; do
  SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=$rank SLURM_LOCALID=0 SLURM_NODEID=$rank \\
    SLURM_STEP_NODELIST=127.0.0.1 "$@" & tasks+=($!)
done
trap 'kill -USR1 ${tasks[@]}' USR1
worst=0
for task in ${tasks[@]}; do
  wait $task; wait $task; status=$?
  [ $status -gt $worst ] && worst=$status
done
exit $worst
"""


def _submit(number: int, folder: Path) -> subprocess.Popen[bytes]:
    """Run one of the documented scripts, each `srun` of which is two tasks on this machine."""
    pages = Path(__file__).parents[3] / "docs" / "distributed.md"
    script = re.findall(r"```bash\n(.*?)```", pages.read_text("utf-8"), re.DOTALL)[number]
    script = script.replace("trainer.devices=4", "trainer.devices=1").replace("/shared", "$PWD")
    commands = {"srun": SRUN, "scontrol": 'echo "$@" >> requeued\n'}
    commands |= {"distill": f'exec {sys.executable} -m distill "$@"\n'}
    for name, content in commands.items():
        (folder / name).write_text(f"#!/bin/bash\n{content}", "utf-8")
        (folder / name).chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "77"}
    variables |= {"MASTER_PORT": str(port)}
    with (folder / "slurm.out").open("ab") as out:
        return subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=os.environ | variables, stdout=out, stderr=out
        )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_slurm_scripts_of_the_documentation_go_on_from_a_signal(tmp_path, two_stages):
    (tmp_path / "RECIPE").write_text(two_stages.read_text("utf-8"), "utf-8")
    out = tmp_path / "slurm.out"
    for number, stage in ((1, "01-teacher"), (0, "02-intermediate")):
        job = _submit(number, tmp_path)
        while not (tmp_path / "RUN" / stage / "checkpoint" / "last.ckpt").exists():
            assert job.poll() is None, out.read_text("utf-8")
            time.sleep(0.01)
        told = [psutil.Process(job.pid)]
        if number == 0:  # SLURM signals the tasks, not the script
            told = [one for one in told[0].children(recursive=True) if "-m" in one.cmdline()]
            assert len(told) == 2
        for process in told:
            process.send_signal(signal.SIGUSR1)
        assert job.wait(300) == 138, out.read_text("utf-8")
    assert (tmp_path / "requeued").read_text("utf-8") == "requeue 77\n" * 2
    assert _submit(0, tmp_path).wait(300) == 0, out.read_text("utf-8")
    said = out.read_text("utf-8")
    assert said.count("teacher: goes on from step") == 1, said
    assert said.count("intermediate: goes on from step") == 1, said
    assert "Traceback" not in said


def test_refusals(tmp_path, two_stages, monkeypatch, capsys):
    words = ["run", str(two_stages), "--run-dir", str(tmp_path / "run")]
    assert main([*words, "trainer.num_nodes=2"]) == 2
    assert "start it on each of them: torchrun --nnodes 2" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert main(words) == 2
    assert "torchrun or srun started 3 processes" in capsys.readouterr().err
    assert main([*words, "trainer.strategy=zero"]) == 2
    assert "trainer.strategy: " in capsys.readouterr().err
    assert main([*words, "trainer.devices=3"]) == 2
    assert "3 processes cannot share teacher's batches of 8 equally" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
