"""W&B in offline mode: what was written is read back from its files."""

import json
import struct
import subprocess
import sys
import time
from typing import Any

import pytest
import sample_run
from lightning.pytorch.loggers import WandbLogger

from distill.evaluation.results import Results
from distill.evaluation.study import StudyResults, TrialResult
from distill.recipe.schema import WandbConfig
from distill.recipe.study import load_study
from distill.system.errors import UserError
from distill.tracking.study_runs import study_runs
from distill.tracking.weights_biases import finish, log_results, wandb_logger

RECIPE = {"name": "tiny", "stages": [{"kind": "distill", "lr": 5e-5}]}
RESULTS = Results.model_validate(sample_run.build_sample())


def records(path):
    """The records of a ``.wandb`` file: a LevelDB log of protobuf messages."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, parts, block = path.read_bytes(), 7, b"", 1 << 15
    while place + 7 <= len(data):
        if block - place % block < 7:  # the rest of a block is padding
            place += block - place % block
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def whole(path):
    """All records, once wandb's own process has written the last one, a little after finish."""
    for _ in range(1200):
        found = list(records(path))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path}: no end after 120 s")


def found(run_folder, job):
    """What the W&B run of a job says."""
    for path in run_folder.glob("wandb/offline-run-*/run-*.wandb"):
        all_records = whole(path)
        run = next(r.run for r in all_records if r.WhichOneof("record_type") == "run")
        if run.job_type == job:
            rows = [
                {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in r.history.item}
                for r in all_records
                if r.WhichOneof("record_type") == "history"
            ]
            artifacts = [
                r.request.log_artifact.artifact if r.HasField("request") else r.artifact
                for r in all_records
                if r.WhichOneof("record_type") == "artifact"
                or (r.HasField("request") and r.request.HasField("log_artifact"))
            ]
            config = {u.key: json.loads(u.value_json) for u in run.config.update}
            return {"run": run, "rows": rows, "config": config, "artifacts": artifacts} | {
                "files": path.parent / "files"
            }
    raise AssertionError(job)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Keep wandb's caches out of the person's own."""
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-files"))


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "tiny-7"
    folder.mkdir()
    return folder


def test_off_is_none(run_folder):
    for config in (None, WandbConfig(mode="off")):
        assert wandb_logger(config, recipe=RECIPE, run_folder=run_folder, stage="teacher") is None
        log_results(config, run_folder, RESULTS, None)
    assert list(run_folder.iterdir()) == []


def test_stages_are_runs_of_a_group(run_folder, capfd):
    config = WandbConfig(project="sst2", entity="team", tags=["one"])
    for stage, loss in (("teacher", 0.5), ("prediction", 0.25)):
        logger = wandb_logger(config, recipe=RECIPE, run_folder=run_folder, stage=stage)
        assert isinstance(logger, WandbLogger)
        logger.log_metrics({"loss": loss, "epoch": 1.0, "validation/accuracy": 0.75}, step=20)
        finish([logger])
    for stage, loss in (("teacher", 0.5), ("prediction", 0.25)):
        what = found(run_folder, stage)
        run = what["run"]
        assert (run.project, run.entity, run.run_group) == ("sst2", "team", "tiny-7")
        assert run.display_name == f"tiny-7-{stage}"
        assert list(run.tags) == ["one"]
        assert what["config"]["stages"] == RECIPE["stages"]
        (row,) = what["rows"]
        assert (row["loss"], row["validation/accuracy"]) == (loss, 0.75)
        assert row["trainer/global_step"] == 20
    assert capfd.readouterr() == ("", "")


def test_results_table_and_one_model_artifact(run_folder, capfd):
    bundle = run_folder / "07-export"
    (bundle / "onnx").mkdir(parents=True)
    (bundle / "distill.json").write_text("{}")
    (bundle / "onnx" / "model.onnx").write_bytes(b"weights")
    log_results(WandbConfig(), run_folder, RESULTS, bundle)
    what = found(run_folder, "results")
    paths = {path.name.partition("_")[0]: path for path in what["files"].rglob("*.table.json")}
    table = json.loads(paths["results"].read_text())
    row = dict(zip(table["columns"], table["data"][0], strict=True))
    step = json.loads(paths["ledger"].read_text())
    assert dict(zip(step["columns"], step["data"][0], strict=True))["step"] == "teacher"
    assert (row["name"], row["score"], row["bytes"]) == ("teacher", 0.8312, 90_900_000)
    assert row["latency_ms/b1_l32"] == 8.51
    assert row["throughput/b32_l32"] == pytest.approx(32000 / 119)
    (artifact,) = [a for a in what["artifacts"] if a.type == "model"]
    assert artifact.name == "tiny-7"
    paths = {entry.path for entry in artifact.manifest.contents}
    assert paths == {"distill.json", "onnx/model.onnx"}
    assert capfd.readouterr() == ("", "")


def test_online_without_a_key_is_one_line_and_no_prompt(run_folder, tmp_path):
    code = f"""
from pathlib import Path
from distill.system.errors import UserError
from distill.evaluation.results import Results
from distill.recipe.schema import WandbConfig
from distill.tracking.weights_biases import wandb_logger
try:
    folder = Path({str(run_folder)!r})
    wandb_logger(WandbConfig(mode="online"), recipe={{}}, run_folder=folder, stage="a")
except UserError as error:
    print(error)
"""
    # A home without a .netrc, and no terminal to prompt on.
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert "WANDB_API_KEY" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1
    assert list(run_folder.iterdir()) == []


def test_a_run_that_cannot_be_begun_is_told_in_one_line(run_folder, monkeypatch):
    import wandb

    def refused(**_: Any) -> None:
        raise wandb.errors.CommError("no route to host\nand much more")

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb, "init", refused)
    config = WandbConfig(mode="online")
    logger = wandb_logger(config, recipe=RECIPE, run_folder=run_folder, stage="a")
    assert logger is not None
    with pytest.raises(UserError, match=r"\(no route to host\); with track.wandb.mode=offline"):
        logger.log_metrics({"loss": 1.0}, step=1)


STUDY = """
study: 1
name: tiny
recipe: quickstart
variants:
  full: {}
  slow: {set: {stages.prediction.lr: 1.0e-5}}
"""
CURVES = """stage,step,epoch,metric,value,seconds
teacher,2,1,loss,0.5,1.0
teacher,2,1,validation/accuracy,0.75,1.0
prediction,4,2,loss,0.25,1.0
"""


def trial_result(trial, **changes):
    content = {"variant": trial.variant, "task": "", "seed": trial.seed, "key": "k"}
    content |= {"status": "done", "evaluated": False, "folder": trial.folder, "seconds": 3.0}
    return TrialResult.model_validate(content | changes)


def test_a_study_is_a_group_and_each_trial_a_run(tmp_path, run_folder, capfd):
    file = tmp_path / "tiny.yaml"
    file.write_text(STUDY, "utf-8")
    loaded = load_study(file, "track.wandb.project=sst2")
    runs = study_runs(loaded.trials, run_folder)
    assert runs is not None
    full, slow = loaded.trials
    for trial in (full, slow):
        runs.begin(trial, loaded.config.variants[trial.variant].set)
        (run_folder / trial.folder / "metrics.csv").write_text(CURVES, "utf-8")
        runs.follow()
    results = [
        trial_result(full, score=0.75, validation=0.75, scores={"accuracy": 0.75}),
        trial_result(slow, status="failed", reason="no rows"),
    ]
    runs.end(full, results[0], 0.75)
    runs.end(slow, results[1], -1000.0)
    # Its stages make no runs of their own.
    config, folder = loaded.trials[0].recipe.track.wandb, run_folder / full.folder
    (run_folder / "study.json").write_text("{}", "utf-8")
    assert wandb_logger(config, recipe=RECIPE, run_folder=folder, stage="prediction") is None
    study = {"schema": 1, "name": "tiny", "description": "", "command": "distill study tiny"}
    task = {"name": "", "title": "", "metric": "accuracy", "seeds": [full.seed]}
    rows = [{"name": t.variant, "title": t.variant, "tasks": [""]} for t in (full, slow)]
    study |= {"compare_to": "full", "tasks": [task], "variants": rows, "machine": {}}
    runs.finish(StudyResults.model_validate(study | {"trials": results}))

    for trial, value, lr in ((full, 0.75, None), (slow, -1000.0, 1e-5)):
        what = found(run_folder / trial.folder, "trial")
        run = what["run"]
        assert (run.project, run.run_group) == ("sst2", run_folder.name)
        assert run.display_name == f"seed-{trial.seed}-{trial.variant}"
        assert list(run.tags) == [trial.variant]
        assert what["config"].get("stages.prediction.lr") == lr
        assert what["config"]["recipe"]["student"]["size"] == trial.recipe.student.size
        *curves, last = what["rows"]
        assert [row["teacher/loss"] for row in curves if "teacher/loss" in row] == [0.5]
        assert curves[0]["teacher/validation/accuracy"] == 0.75
        assert (curves[1]["prediction/step"], curves[1]["prediction/epoch"]) == (4, 2)
        assert (last["value"], last["seconds"]) == (value, 3.0)
    assert last["reason"] == "no rows"
    (path,) = run_folder.glob("wandb/offline-run-*/files/**/*.table.json")
    table = json.loads(path.read_text("utf-8"))
    assert table["columns"][0] == "variant"
    assert [row[:2] for row in table["data"]] == [["full", "75.0"], ["slow", "failed"]]
    assert capfd.readouterr() == ("", "")
