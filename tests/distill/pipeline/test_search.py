"""Searches: NNI's tuners propose, trials are real runs, limits are kept, a stop changes nothing."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
import yaml
from typer.testing import CliRunner

from distill.cli.main import app
from distill.evaluation.limits import excess, within
from distill.evaluation.results import ModelRow, Ratios, Results, read_results
from distill.evaluation.study import TrialResult, read_study
from distill.pipeline.halving import Halving
from distill.pipeline.strategy import Grid
from distill.pipeline.study import run_study
from distill.pipeline.study_record import gathered
from distill.pipeline.tuner import Assessor, Tuner
from distill.recipe.budget import candidates
from distill.recipe.choices import Choices
from distill.recipe.loader import load_recipe
from distill.recipe.schema import Limits, Search
from distill.recipe.shapes import Shape, StaticShape
from distill.recipe.study import load_study
from distill.report.study import summary, tables
from distill.report.study_page import render_study
from distill.system.errors import RecipeError, RunFolderError, UserError

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
        recipe = yaml.safe_load(tiny_recipe.read_text("utf-8"))
        recipe.pop("track", None)
        recipe["baseline"] = False
        recipe["stages"] = [s for s in recipe["stages"] if s["kind"] in keep]
        tiny_recipe.write_text(yaml.safe_dump(recipe), "utf-8")
        content = {"study": 1, "name": "found", "recipe": tiny_recipe.name}
        content["search"] = {"space": space or SPACE, "trials": 3, **search}
        path = tmp_path / "found.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
        return path

    return study


def peak(strategy: str) -> list[tuple[dict[str, Any], float]]:
    """What a tuner proposes for a score with its peak at x = .3 and 'b', and the scores."""
    space = {"x": {"uniform": [0.0, 1.0]}, "y": ["a", "b", "c"]}
    tuner = Tuner(Search.model_validate({"space": space, "strategy": strategy, "seed": 3}))
    found = []
    for number in range(90):
        values = tuner.propose(number)
        assert values is not None
        found.append((values, -((values["x"] - 0.3) ** 2) - (values["y"] != 1)))
        tuner.learn(number, found[-1][1])
    return found


@pytest.mark.parametrize("strategy", ["tpe", "evolution", "anneal"])
def test_a_tuner_learns_and_repeats_itself(strategy):
    if strategy == "anneal":
        pytest.importorskip("hyperopt")
    assert peak(strategy) == peak(strategy)

    def late(strategy: str) -> float:
        return statistics.fmean(score for _, score in peak(strategy)[45:])

    assert late(strategy) > 0.7 * late("random")


def test_a_grid_ends():
    space = {"a": [1, 2], "b": ["x", None]}
    tuner = Tuner(Search.model_validate({"space": space, "strategy": "grid"}))
    found = [tuner.propose(number) for number in range(5)]
    assert found[4] is None
    assert len({tuple(one.items()) for one in found[:4]}) == 4


def test_median_stop_ends_what_stays_below():
    median = Assessor("median")
    for number, scores in enumerate([[0.6, 0.7], [0.7, 0.8], [0.5, 0.9]]):
        median.ended(str(number), scores, whole=True)
    assert median.stops("low", [0.4])
    assert not median.stops("high", [0.75])
    assert not median.stops("new", [])


def test_curve_ends_what_is_on_its_way_to_less():
    curve = Assessor("curve")

    def scores(most: float, count: int) -> list[float]:
        return [most * (1 - 0.5 * 0.7**n) for n in range(count)]

    curve.ended("first", scores(0.9, 20), whole=True)
    assert curve.stops("low", scores(0.5, 10))
    assert not curve.stops("high", scores(0.95, 10))
    assert not curve.stops("early", scores(0.1, 5))


def test_hyperband_trains_the_best_third_three_times_longer():
    budget = {"epochs": [2, 18]}
    search = {"space": {"x": {"uniform": [0.0, 1.0]}, "y": ["a", "b"]}, "strategy": "hyperband"}

    def proposed() -> list[dict[str, Any]]:
        tuner, found = Tuner(Search.model_validate({**search, "budget": budget})), []
        for number in range(22):
            values = tuner.propose(number)
            assert values is not None
            found.append(values)
            tuner.learn(number, values["x"])
        return found

    found = proposed()
    # Three brackets: 9 short ones, the best 3 of them, the best; 5 and their best; 3 long ones.
    assert [one["epochs"] for one in found[:13]] == [2] * 9 + [6] * 3 + [18]
    assert [one["epochs"] for one in found[13:]] == [6] * 5 + [18] + [18] * 3
    drawn = sorted((one["x"] for one in found[:9]), reverse=True)
    assert [one["x"] for one in found[9:13]] == [*drawn[:3], drawn[0]]
    assert proposed() == found


def test_anneal_without_hyperopt_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hyperopt", None)
    monkeypatch.delitem(sys.modules, "nni.algorithms.hpo.hyperopt_tuner", raising=False)
    with pytest.raises(UserError, match=r"pip install 'hyperopt>=0\.3'"):
        Tuner(Search.model_validate({"space": {"x": [1]}, "strategy": "anneal"}))


def row(**changes: object) -> ModelRow:
    content: dict[str, Any] = {
        "name": "onnx-int8",
        "stage": "export",
        "format": "onnx-int8",
        "score": 0.9,
        "retention": 0.95,
        "scores": {},
        "parameters": 1,
        "parameters_no_embeddings": 1,
        "macs": 1,
        "bytes": 8_000_000,
        "ratios": Ratios(size=1, latency=1, throughput=1),
        "latency_ms": {"b1_real": {"p50": 2.0, "p95": 3.0}},
        "throughput": {"b32_real": 500},
    }
    return ModelRow.model_validate(content | changes)


def test_excess_over_limits():
    assert excess(Limits(latency_ms=2.0, size_mb=8, throughput=500, retention=0.95), row()) == 0
    assert excess(Limits(latency_ms=1.0), row()) == pytest.approx(1.0)
    assert excess(Limits(size_mb=4.0, throughput=1000), row()) == pytest.approx(2.0)
    assert excess(Limits(latency_ms=1.0), row(latency_ms={})) == 1.0
    assert excess(Limits(retention=0.9), row(retention=None)) == 1.0


def test_the_final_model_is_the_most_accurate_format_that_keeps_the_limits():
    slow, fast = {"b1_real": {"p50": 3.0, "p95": 3.0}}, {"b1_real": {"p50": 1.0, "p95": 1.0}}
    rows = [row(name="prune", format="transformers"), row(name="onnx", latency_ms=slow),
            row(name="openvino"), row(latency_ms=fast)]  # fmt: skip
    results = Results(schema=2, recipe="r", task="classification", metric="accuracy",
                      split="test", machine={}, models=rows)  # fmt: skip
    scores = {"onnx": 0.9, "openvino": 0.89, "onnx-int8": 0.88}

    def final(limit: float) -> str:
        found = within(results, Limits(latency_ms=limit), scores)
        assert {one.name for one in found.models} == {one.name for one in rows}
        return found.final.name

    assert [final(4.0), final(2.5), final(1.5), final(0.1)] == [
        "onnx", "openvino", "onnx-int8", "onnx-int8"
    ]  # fmt: skip


def predicted(shape: Shape | StaticShape, trim: int = 0) -> Limits:
    """A millisecond for a million multiply-accumulates, a byte for a number."""
    tokens = {0: 30_000, 1: 10_000, 2: 6000, 3: 5000, 5: 4000}[trim]
    table = tokens * (shape.hidden if isinstance(shape, StaticShape) else shape.words)
    body = 0 if isinstance(shape, StaticShape) else shape.parameters - shape.embedding_parameters
    latency = 1e-7 + shape.macs(1) / 1e6
    return Limits(latency_ms=latency, throughput=1e3 / latency, size_mb=(table + body) / 1e6)


def test_candidates_differ_in_heads_layers_and_vocabulary():
    choices = Choices("quickstart", ["stages.quantize=null"])
    choices.serve_by("openvino")
    limits = Limits(latency_ms=2.0, size_mb=8.0)
    found = candidates(choices, [limits], predicted, most=9)
    assert sum(not one.get("reserve") for one in found.values()) == 9
    settings = [one["set"] for name, one in found.items() if not name.startswith("static")]
    assert {None, "first"} <= {one.get("student.init_layers") for one in settings}
    assert {one.get("stages.prune.heads") for one in settings} == {None, 0.0}
    for name, one in found.items():
        told = Limits(**one["predicted"])
        assert limits.missed(told) == []
        written = [f"{key}={json.dumps(value)}" for key, value in one["set"].items()]
        recipe = load_recipe("quickstart", "stages.quantize=null", *written)
        kinds = [stage.kind for stage in recipe.stages]
        assert "quantize" in kinds
        # The vocabulary is cut before neurons are.
        cut = [stage for stage in recipe.stages if getattr(stage, "method", "") == "vocabulary"]
        assert len(cut) == ("-v" in name)
        if not name.startswith("static"):
            assert recipe.stages[-2].formats == ["transformers", "onnx", "openvino"]
    assert any("-v" in name for name in found)
    wide = candidates(choices, [Limits(latency_ms=2.0)], predicted, most=9)
    assert not any("-v" in name or "-e" in name for name in wide)
    # A table is factored where trimming it does not do, or costs neurons; and then what is left.
    assert not any("-e" in name for name in found)
    small = candidates(choices, [Limits(size_mb=2.5)], predicted, most=9)
    (one, *_) = (small[name] for name in small if "-e" in name and "-h" in name)
    assert Limits(size_mb=2.5).missed(Limits(**one["predicted"])) == []
    written = [f"{key}={json.dumps(value)}" for key, value in one["set"].items()]
    recipe = load_recipe("quickstart", "stages.quantize=null", *written)
    stages = [stage.name for stage in recipe.stages if stage.kind == "prune"]
    assert stages == ["vocabulary", "embeddings", "prune"]
    assert any("-e" not in name for name in small)
    with pytest.raises(UserError, match=r"comes nearest: size_mb 0\.\d+ \(limit 0\.1\)"):
        candidates(choices, [Limits(size_mb=0.1)], predicted, most=9)


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


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_budget_goes_in_and_a_bundle_comes_out(tmp_path, tiny_recipe, monkeypatch):
    recipe = yaml.safe_load(tiny_recipe.read_text("utf-8"))
    recipe.pop("track", None)
    recipe["baseline"] = False
    recipe["stages"] = [s for s in recipe["stages"] if s["kind"] != "augment"]
    tiny_recipe.write_text(yaml.safe_dump(recipe), "utf-8")
    folder = tmp_path / "out"
    command = ["fit-budget", str(tiny_recipe), "--run-dir", str(folder), "--trials", "3"]
    monkeypatch.setenv("COLUMNS", "300")
    limits = ["--size-mb", "100", "--ladder", "90,100", "--retention", "0.01", "--time", "20m"]
    done = CliRunner().invoke(app, [*command, *limits, "--length", "real", "--threads", "1"])
    assert done.exit_code == 0, done.output
    assert "target 90 ms, measured " in done.output
    assert "predicted ms" in done.output
    again = CliRunner().invoke(app, ["evaluate", str(folder)])
    assert again.exit_code == 0, again.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("best of ")]
    assert line in again.output
    results = read_study(folder)
    assert results is not None
    assert results.chosen is not None
    assert [target.limits.latency_ms for target in results.targets] == [90.0, 100.0]
    assert all(target.chosen and target.measured for target in results.targets)
    names = [row.name for row in results.variants]
    short = [name for name in names if name.endswith(".r1")]
    assert {"recipe.r1", "static.r1"} <= set(short)
    assert len(names) - len(short) < len(short)  # few of them are trained in full
    whole = [trial for trial in results.trials if trial.evaluated]
    assert {trial.variant for trial in whole} == {n for n in names if not n.endswith(".r1")}
    card = (folder / results.chosen.folder / "bundle" / "README.md").read_text("utf-8")
    assert "ms, measured " in card
    # What was predicted of a size is what it came to in int8; the final may be fp32 within limits.
    for row in results.variants:
        for trial in whole:
            if trial.variant == row.name and row.predicted and row.predicted.size_mb:
                found = read_results(folder / trial.folder)
                smallest = min(m.bytes for m in found.models if m.stage == found.final.stage) / 1e6
                assert smallest == pytest.approx(row.predicted.size_mb, rel=0.2, abs=0.02)
    # The same command has nothing left to do; another limit has another folder.
    trials, study = results.trials, (folder / "study.yaml").read_bytes()
    repeated = [*command, *limits, "--length", "real", "--threads", "1"]
    assert CliRunner().invoke(app, repeated).exit_code == 0
    assert read_study(folder).trials == trials
    done = CliRunner().invoke(app, [*command, "--size-mb", "5"])
    assert "holds another budget" in str(done.exception)
    assert (folder / "study.yaml").read_bytes() == study
    done = CliRunner().invoke(app, [*command[:-4], "--run-dir", str(tmp_path / "none"),
        "--trials", "1", "--size-mb", "0.0001"])  # fmt: skip
    assert isinstance(done.exception, UserError)
    assert "no student of this recipe keeps at most 0.0001 MB; " in str(done.exception)
    assert "comes nearest: size_mb " in str(done.exception)


def test_a_model_that_proves_too_slow_is_cut_again(tmp_path, write, monkeypatch):
    """The next smaller of its shape by a prediction that is corrected by what was measured."""

    def one(latency: float, shape: str, **more: object) -> dict[str, Any]:
        return {"set": {}, "shape": shape, "predicted": {"latency_ms": latency}, **more}

    candidates = {
        "wide": one(0.95, "a"),
        "wide-cut": one(0.9, "a", reserve=True),
        "wide-cut-more": one(0.7, "a", reserve=True),
        "narrow": one(0.6, "b"),
    }
    search = {"strategy": "halving", "candidates": candidates, "rungs": [0.5, 1.0],
              "limits": {"latency_ms": 1.0}, "stage": "evaluate"}  # fmt: skip
    path = write(keep=("distill", "evaluate"))
    content = yaml.safe_load(path.read_text("utf-8")) | {"search": search}
    path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    scores = {"wide.r1": 0.8, "narrow.r1": 0.7}
    latencies = {"wide": 1.2, "wide-cut": 1.1, "wide-cut-more": 0.9}
    done: dict[str, TrialResult] = {}

    def begun() -> Halving:
        """The search as a command that was killed finds it."""
        loaded, grid = load_study(path), Grid([], tmp_path)
        search = loaded.config.search
        return Halving(loaded, search, grid, tmp_path, lambda trial: done.get(trial.folder))

    ran = []

    def results_of(folder: Path) -> Any:
        final = row(latency_ms={"b1_real": {"p50": latencies[folder.name], "p95": 2.0}})
        return SimpleNamespace(final=final)

    monkeypatch.setattr("distill.pipeline.halving.read_results", results_of)
    again: list[str] = []

    def evaluate(run: Path) -> None:
        run.mkdir(parents=True)
        again.append(run.name)

    monkeypatch.setattr("distill.pipeline.halving.evaluate_run", evaluate)
    halving = begun()
    while (trial := halving.next()) is not None:
        ran.append(trial.variant)
        again_begun = begun().next()
        assert again_begun is not None
        assert again_begun.variant == trial.variant
        done[trial.folder] = TrialResult(
            variant=trial.variant, task="", seed=trial.seed, key="", status="done",
            evaluated=trial.evaluates, score=scores.get(trial.variant, 0.8), folder=trial.folder,
        )  # fmt: skip
        halving.ended(trial, done[trial.folder])
    assert begun().next() is None
    assert ran == ["wide.r1", "narrow.r1", "wide", "wide-cut-more"]
    assert again == ["wide"]  # a busy machine may have been why


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give a limit: --latency-ms"),
        (["--latency-ms", "0"], "--latency-ms must be more than 0"),
        (["--ladder", "0.5,x"], "--ladder 0.5,x: write milliseconds"),
        (["--ladder", "0.5,0"], "every latency must be more than 0"),
        (["--ladder", "0.5", "--latency-ms", "1"], "not both"),
        (["--latency-ms", "1", "--time", "soon"], "--time soon: write 90s, 60m or 2h"),
        (["--size-mb", "5", "stages.evaluate=null"], "end the recipe with one: evaluate"),
    ],
)
def test_budgets_that_cannot_be(tiny_recipe, tmp_path, options, message):
    command = ["fit-budget", str(tiny_recipe), *options, "--run-dir", str(tmp_path / "out")]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, UserError)
    assert message in str(done.exception)
