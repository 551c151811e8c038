"""Studies as NNI experiments with its local training service: real trials, stops of any kind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from run_files import changed, recipe_at

from distill.evaluation.study import read_study
from distill.recipe.study import load_study
from distill.system.errors import RecipeError


def write(folder: Path, recipe: Path, engine: object, variants: object = None) -> Path:
    stages = [s for s in recipe_at(recipe)["stages"] if s.get("name") == "prediction"]
    changed(recipe, track={}, baseline=False, stages=stages)
    study = {"study": 1, "name": "nn", "recipe": recipe.name, "engine": engine}
    path = folder / "nn.yaml"
    path.write_text(yaml.safe_dump(study | {"variants": variants or {"full": {}}}), "utf-8")
    return path


def begin(path: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "distill", "study", path.name, "--run-dir", "out", *words]
    # NNI keeps a list of experiments in the home folder.
    return subprocess.Popen(
        command, cwd=path.parent, env={**os.environ, "HOME": str(path.parent)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_trial_is_one_of_the_experiment_and_failures_show(tmp_path, tiny_recipe):
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"text": "a film", "label": "mixed"}\n', "utf-8")
    variants = {"full": {}, "wrong": {"set": {"data.train": str(wrong)}}}
    path = write(tmp_path, tiny_recipe, "nni", variants)
    process = begin(path, "--jobs", "2")
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 1, said
    assert "NNI's portal: http://127.0.0.1:" in said
    results = read_study(tmp_path / "out")
    assert results is not None
    full, failed = sorted(results.trials, key=lambda trial: trial.variant)
    assert (full.status, failed.status) == ("done", "failed")
    assert failed.reason.startswith(f"{wrong}: all 1 examples have the label 'mixed'")
    file = tmp_path / "out/nni/_latest/db/nni.sqlite"
    with sqlite3.connect(file) as database:
        events = {row[0] for row in database.execute("select event from TrialJobEvent")}
        metrics = database.execute("select type, data from MetricData").fetchall()
    assert {"SUCCEEDED", "FAILED"} <= events
    assert [float(data.strip('"')) for kind, data in metrics if kind == "FINAL"] == [full.score]
    assert sum(kind == "PERIODICAL" for kind, _ in metrics) == 2  # an epoch each


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_outlives_a_study_and_it_goes_on(tmp_path, tiny_recipe):
    path = write(tmp_path, tiny_recipe, "nni")
    words = ["stages.prediction.epochs=100"]
    process = begin(path, *words)
    sign = tmp_path / "out/trials/seed-7/full/02-prediction/checkpoint/last.ckpt"
    while not sign.is_file():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    others = psutil.Process(process.pid).children(recursive=True)
    manager = next(one for one in others if "main.js" in " ".join(one.cmdline()))
    addresses = {c.laddr.ip for c in manager.net_connections() if c.status == psutil.CONN_LISTEN}
    assert addresses == {"127.0.0.1"}
    process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(others, timeout=90)
    assert alive == []
    process = begin(path, *words)
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 0, said
    log = (tmp_path / "out/trials/seed-7/full/log.txt").read_text("utf-8")
    assert "goes on" in log


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"kind": "nni", "training_service": {"platform": "moon"}}, "'moon' is not known"),
        ({"kind": "nni", "training_service": {}}, "None is not known"),
        ({"kind": "nni", "training_service": {"platform": "remote"}}, "give host, an address"),
        ({"kind": "nni", "port": 80}, "1024"),
        ("ray", "engine"),
    ],
)
def test_engines_that_cannot_be(tmp_path, tiny_recipe, engine, message):
    with pytest.raises(RecipeError, match=rf"nn\.yaml:\d+: .*{message}"):
        load_study(write(tmp_path, tiny_recipe, engine))
