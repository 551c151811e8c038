"""Searches: NNI's tuners propose, trials are real runs, limits are kept, a stop changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from run_files import changed, recipe_at
from typer.testing import CliRunner

from distill.cli.main import app
from distill.evaluation.study import read_study
from distill.pipeline.study import run_study
from distill.pipeline.study_record import gathered
from distill.recipe.schema import Limits
from distill.recipe.study import load_study
from distill.report.study import summary, tables
from distill.report.study_page import render_study
from distill.system.errors import RecipeError, RunFolderError

SPACE: dict[str, Any] = {
    "stages.prediction.lr": {"loguniform": [1e-4, 1e-2]},
    "stages.prediction.batch_size": {"quniform": [4, 16, 4]},
    "stages.intermediate": {"choice": [None]},
}
BRACKETS = {"strategy": "hyperband", "budget": {"stages.prediction.epochs": [1, 9]}}


@pytest.fixture
def write(tmp_path: Path, tiny_recipe: Path):
    """Write a study of the tiny recipe that searches."""

    def study(space: object = None, keep: tuple[str, ...] = ("distill",), **search: object) -> Path:
        stages = [s for s in recipe_at(tiny_recipe)["stages"] if s["kind"] in keep]
        changed(tiny_recipe, track={}, baseline=False, stages=stages)
        content = {"study": 1, "name": "found", "recipe": tiny_recipe.name}
        content["search"] = {"space": space or SPACE, "trials": 3, **search}
        path = tmp_path / "found.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
        return path

    return study


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_search_runs_trials_and_goes_on(tmp_path, write, monkeypatch):
    folder = tmp_path / "out"
    path = write()
    results = run_study(load_study(path), folder, jobs=1)
    assert [trial.status for trial in results.trials] == ["done"] * 3
    assert [one.name for one in results.variants] == ["t01", "t02", "t03"]
    assert "lr 0.0" in results.variants[0].title
    for trial in results.trials:
        recipe = yaml.safe_load((folder / trial.folder / "recipe.yaml").read_text("utf-8"))
        (stage,) = recipe["stages"]
        assert 1e-4 <= stage["lr"] <= 1e-2
        assert stage["batch_size"] in (4, 8, 12, 16)
        stages = (folder / trial.folder).glob("*/stage.json")
        assert trial.score == json.loads(max(stages).read_text("utf-8"))["score"]
    events = (folder / "search.jsonl").read_text("utf-8")

    # Nothing to do: nothing is done, and nothing is lost.
    again = run_study(load_study(path), folder, jobs=1)
    assert [t.model_dump() for t in again.trials] == [t.model_dump() for t in results.trials]
    assert (folder / "search.jsonl").read_text("utf-8") == events

    # As after a kill between a trial's end and the tuner's being told, in the middle of a line.
    cut = events.splitlines(keepends=True)[:6]
    (folder / "search.jsonl").write_text("".join(cut) + '{"numb', "utf-8")
    run_study(load_study(path), folder, jobs=1)
    assert (folder / "search.jsonl").read_text("utf-8") == events

    # More trials go on where these ended; another space does not.
    more = run_study(load_study(write(trials=4)), folder, jobs=1)
    assert [trial.variant for trial in more.trials] == ["t01", "t02", "t03", "t04"]
    with pytest.raises(RunFolderError, match="a search with other settings"):
        run_study(load_study(write(seed=5)), folder, jobs=1)
    # Nor do other settings of the trials, whose results would stand for these.
    with pytest.raises(RunFolderError, match="trials with other settings or files"):
        run_study(load_study(write(trials=4), "data.max_length=12"), folder, jobs=1)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_agent_of_a_sweep_runs_trials_of_the_study(tmp_path, write, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write()
    assert CliRunner().invoke(app, ["study", str(path), "--wandb-sweep"]).exit_code == 0
    sweep = yaml.safe_load((tmp_path / "runs/sweep-found/sweep.yaml").read_text("utf-8"))
    assert sweep["parameters"].keys() == SPACE.keys()
    for name, value in (("SWEEP_ID", "s1"), ("MODE", "offline"), ("PROJECT", "agents")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    for number, lr in enumerate([1e-3, 2e-3], 1):
        wandb.teardown()  # it reads the environment once in a process, and agents begin one each
        monkeypatch.setenv("WANDB_RUN_ID", f"run{number}")
        given = {"stages.prediction.lr": lr, "stages.intermediate": "null"}
        given |= {"stages.prediction.batch_size": 8}
        program, *words, last = sweep["command"]
        assert (program, last) == ("distill", "${args_json}")
        done = CliRunner().invoke(app, [*words, json.dumps(given)])
        assert done.exit_code == 0, done.output
    results = read_study(tmp_path / "runs/sweep-found")
    assert results is not None
    assert [(t.variant, t.status) for t in results.trials] == [("t01", "done"), ("t02", "done")]
    runs = (tmp_path / "runs/sweep-found").rglob("run-*.wandb")
    assert sorted(run.stem for run in runs) == ["run-run1", "run-run2"]
    # A search in the same folder would learn from trials that it never proposed.
    with pytest.raises(RunFolderError, match="a search with other settings"):
        run_study(load_study(path), tmp_path / "runs/sweep-found", jobs=1)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_limits_choose_among_what_keeps_them(tmp_path, write):
    space = {"student.size": ["1x8", "2x16"], "stages.prediction": [None]}
    path = write(
        space,
        keep=("distill", "evaluate"),
        strategy="grid",
        stage="evaluate",
        limits={"size_mb": 1000.0},
    )
    loaded = load_study(path, "stages.intermediate.objectives=[{kind: logits}]")
    results = run_study(loaded, tmp_path / "out", jobs=1)
    assert {trial.status for trial in results.trials} == {"done"}
    best = max(results.trials, key=lambda trial: trial.validation or 0)
    assert results.chosen is not None
    assert results.chosen.validation == best.validation
    assert results.chosen.variant == best.variant

    # The best stands first in the table, in the picture, and is what the folder predicts with.
    table, models = tables(results)
    assert table.rows[0][0].startswith(f"{best.variant}: ")
    assert table.rows[0][-1] == "best"
    assert models.title.startswith(f"{best.variant}: ")
    page = render_study(results)
    assert "What the search tried" in page
    assert "Score against latency: t01 " in page
    assert summary(results).startswith(f"best of 2: {best.variant}: ")

    # Beyond every limit nothing is the best.
    narrow = results.model_copy(update={"limits": Limits(size_mb=0.0001)})
    results = gathered(tmp_path / "out", narrow)
    assert results.chosen is None
    assert summary(results) == "none of 2 trials keeps the limits; widen them, or the space"
    assert [row[-1] for row in tables(results)[0].rows] == ["beyond limits"] * 2


@pytest.mark.parametrize(
    ("space", "search", "message"),
    [
        ({"stages.none.lr": [1e-3]}, {}, r"found\.yaml:\d+: .*nothing here is called 'none'"),
        ({"stages.prediction.lr": {"uniform": [2, 1]}}, {}, "low must be less than high"),
        ({"stages.prediction.lr": {"uniform": [0.1, 7.0]}}, {}, r"found\.yaml:\d+: .*lr"),
        ({"stages.prediction.lr": {}}, {}, "give exactly one of choice, uniform"),
        ({"stages.prediction.lr": [1e-3]}, {"limits": {"size_mb": 1}}, "measured by the evaluat"),
        ({"stages.prediction.lr": [1e-3]}, {"stage": "nothing"}, "'nothing' is not known"),
        ({"student.size": {"choice": ["1x8"], "when": {"seed": 1}}}, {}, "no setting of the space"),
        (SPACE, {"strategy": "halving"}, "'halving' has `candidates` and no `space`"),
        (SPACE, {"strategy": "bohb"}, r"found\.yaml:\d+: .*'hyperband' has the same brackets"),
        (SPACE, {"strategy": "hyperband"}, r"found\.yaml:\d+: .*a budget of one setting"),
        (SPACE, BRACKETS | {"early_stop": "curve"}, "leave out early_stop"),
        (SPACE, BRACKETS | {"budget": {"stages.prediction.epochs": [1, 2]}}, "3 times the least"),
        (
            SPACE,
            BRACKETS | {"budget": {"stages.prediction.lr": [1, 9]}},
            "is the budget and in the",
        ),
        (SPACE, BRACKETS | {"budget": {"stages.none.epochs": [1, 9]}}, "nothing here is called"),
    ],
)
def test_errors_have_a_line_and_come_before_anything_is_run(write, space, search, message):
    with pytest.raises(RecipeError, match=message):
        load_study(write(space, **search))


def test_conditions_leave_settings_out(write):
    space = {
        "stages.intermediate": {"choice": [None]},
        "stages.prediction.schedule": ["linear", "cosine"],
        "stages.prediction.warmup": {
            "uniform": [0.1, 0.2],
            "when": {"stages.prediction.schedule": "cosine"},
        },
    }
    loaded = load_study(write(space))
    key = "stages.prediction.warmup"
    values = {"stages.intermediate": 0, "stages.prediction.schedule": 0, key: 0.15}
    loaded.add_variant("t01", values)
    loaded.add_variant("t02", values | {"stages.prediction.schedule": 1})
    assert key not in loaded.config.variants["t01"].set
    assert loaded.config.variants["t02"].set[key] == 0.15


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_trial_that_stays_below_the_others_is_ended(tmp_path, write):
    space = {"stages.prediction.lr": [1e-2, 5e-3, 1e-9], "stages.intermediate": [None]}
    path = write(space, strategy="grid", early_stop="median")
    results = run_study(load_study(path, "stages.prediction.epochs=60"), tmp_path / "out", jobs=1)
    assert [trial.status for trial in results.trials] == ["done", "done", "stopped"]
    stopped = results.trials[2]
    log = (tmp_path / "out" / stopped.folder / "log.txt").read_text("utf-8")
    assert "epoch 60/60" not in log
    assert stopped.score is not None
    assert stopped.score < max(trial.score or 0.0 for trial in results.trials[:2])
    assert tables(results)[0].rows[-1][-1] == "stopped"
    # It is not begun again.
    again = run_study(load_study(path, "stages.prediction.epochs=60"), tmp_path / "out", jobs=1)
    assert [trial.status for trial in again.trials] == ["done", "done", "stopped"]
