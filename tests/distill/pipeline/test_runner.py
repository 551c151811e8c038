"""A run from data to bundle, killed anywhere, and what it refuses."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path

import pytest
from run_files import changed, models, recipe_at

from distill.cli.main import main
from distill.system.errors import UserError

STAGES = [
    "01-teacher",
    "02-baseline",
    "03-intermediate",
    "04-prediction",
    "05-prune",
    "06-quantize",
    "07-export",
    "08-evaluate",
]
WEIGHTS = [
    *(f"{stage}/model/model.safetensors" for stage in STAGES[:5]),
    "06-quantize/onnx/model_quantized.onnx",
    "bundle/model.safetensors",
]


def _rows(run: Path) -> list[tuple[str, ...]]:
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [tuple(v for k, v in row.items() if k != "seconds") for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def whole(tiny_recipe, distill_process, kept) -> Path:
    """A run of a process of its own, made once; what it printed stands beside it."""
    if not kept.exists():
        done = distill_process("run", tiny_recipe, "--run-dir", kept)
        assert done.returncode == 0, done.stderr
        kept.with_name("printed.txt").write_text(done.stdout, "utf-8")
    return kept


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_in_every_stage_ends_as_one_that_was_not(
    tmp_path, tiny_recipe, distill, whole, killed_at
):
    broken = tmp_path / "broken"
    words = ["run", tiny_recipe, "track={}", "--run-dir", broken]
    for stage in STAGES:
        trains = int(stage[:2]) <= 5
        killed_at(broken / stage / ("checkpoint/last.ckpt" if trains else "begun.json"), *words)
        assert not (broken / stage / "done.json").exists()
        words = ["resume", broken]
    done = distill(*words)
    assert done.returncode == 0, done.stderr
    for name in WEIGHTS:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    assert sorted(_rows(broken)) == sorted(_rows(whole))
    scores = [
        {name: model["scores"] for name, model in models(run).items()} for run in (whole, broken)
    ]
    assert scores[0] == scores[1]
    assert list(scores[0]) == [
        "linear",
        *(stage[3:] for stage in STAGES[:5]),
        "onnx",
        "onnx-int8",
    ]


@pytest.mark.slow
def test_a_run_through_the_command_line(tiny_recipe, distill, whole):
    run, printed = whole, whole.with_name("printed.txt").read_text("utf-8")
    assert "onnx-int8" in printed
    assert f"next: distill predict {run}/bundle" in printed
    assert {path.name for path in run.iterdir()} >= {
        *STAGES,
        "recipe.yaml",
        "environment.json",
        "metrics.csv",
        "log.txt",
        "results.json",
        "report.html",
        "bundle",
        "wandb",
    }
    rows = models(run)
    assert rows["prune"]["parameters"] < rows["prediction"]["parameters"]
    assert rows["onnx-int8"]["bytes"] < rows["onnx"]["bytes"]
    # The bundle answers, and the same for the run folder.
    answers = [
        distill("predict", folder, "a good film", "--json") for folder in (run / "bundle", run)
    ]
    assert [a.returncode for a in answers] == [0, 0], answers[0].stderr
    assert answers[0].stdout == answers[1].stdout
    assert json.loads(answers[0].stdout)["label"] in {"negative", "positive"}
    # What is done is not done again, and the folder is not used for something else.
    marks = {stage: (run / stage / "done.json").stat().st_mtime_ns for stage in STAGES}
    again = distill("resume", run)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("done before") == len(STAGES)
    assert marks == {stage: (run / stage / "done.json").stat().st_mtime_ns for stage in STAGES}
    other = distill("run", tiny_recipe, "seed=8", "--run-dir", run)
    assert other.returncode == 2
    assert "other settings of this recipe" in other.stderr
    # An override does again only what hangs on it.
    changed = distill("resume", run, "stages.evaluate.lengths=[16]")
    assert changed.returncode == 0, changed.stderr
    assert changed.stderr.count("done before") == len(STAGES) - 1
    assert set(models(run)["linear"]["latency_ms"]) == {"b1_l16", "b4_l16"}


GOOD = '{"text": "a good film", "label": "positive"}'
BAD = '{"text": "a bad film", "label": "negative"}'


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (None, ["studnet.size=1x32"], "unknown key; did you mean 'student'?"),
        (None, ["seed=many"], "found the text 'many', expected a whole number"),
        (None, ["data.train=missing.jsonl"], "missing.jsonl"),
        (None, ["data.columns.text=sentence"], "columns are 'text', 'label'"),
        ("", [], "empty"),
        (f"{GOOD}\n{GOOD}\n", [], "all 2 examples have the label 'positive'"),
        (f"{GOOD}\n{BAD}\n{BAD.replace('negative', 'neutral')}\n", [], "train.jsonl:3"),
        (f"{GOOD}\n{BAD}\n{BAD.replace('a bad film', '')}\n", [], "train.jsonl:3"),
        (f"{GOOD}\n{BAD}é\n".encode("latin-1"), [], "train.jsonl:2"),
        (None, ["teacher.model=empty"], "empty"),
        (None, ["teacher.model=pickled"], "is a pickle"),
        (None, ["student.init=pickled"], "is a pickle"),
    ],
)
def test_wrong_inputs_are_one_line_and_nothing_is_written(
    tmp_path, tiny_recipe, monkeypatch, capsys, rows, changes, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text('{"model_type": "bert"}')
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    if rows is not None:
        content = rows if isinstance(rows, bytes) else rows.encode()
        (tmp_path / "train.jsonl").write_bytes(content)
    code = main(["run", str(tiny_recipe), *changes, "--run-dir", "run"])
    told = capsys.readouterr().err.strip()
    assert code == 2, told
    assert len(told.splitlines()) == 1, told
    assert message in told
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_one_line_and_the_run_goes_on(tmp_path, tiny_recipe, monkeypatch):
    from distill import load_recipe, resume, run
    from distill.training import checkpoint

    stages = recipe_at(tiny_recipe)["stages"][:1]
    recipe = load_recipe(changed(tiny_recipe, stages=stages, baseline=False, track={}))
    folder = tmp_path / "run"

    def full(*_args, **_rest):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.torch, "save", full)
        with pytest.raises(UserError, match="the disk is full") as caught:
            run(recipe, folder)
    assert "\n" not in str(caught.value)
    assert f"distill resume {folder}" in str(caught.value)
    assert not (folder / "01-teacher" / "done.json").exists()
    resume(folder)
    assert (folder / "02-intermediate" / "done.json").exists()
