"""Budgets: candidates within limits, successive halving, the final model that keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from run_files import changed
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner

from distill.cli.main import app
from distill.evaluation.limits import excess, within
from distill.evaluation.results import ModelRow, Ratios, Results, read_results
from distill.evaluation.study import TrialResult, read_study
from distill.pipeline.halving import Halving
from distill.pipeline.shape_table import measure_shapes
from distill.pipeline.strategy import Grid
from distill.recipe.budget import candidates
from distill.recipe.choices import Choices
from distill.recipe.loader import load_recipe
from distill.recipe.schema import Limits
from distill.recipe.shapes import Shape, StaticShape
from distill.recipe.study import load_study
from distill.runtime import load
from distill.system.errors import UserError


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
def test_a_budget_goes_in_and_a_bundle_comes_out(tmp_path, tiny_recipe, monkeypatch):
    changed(tiny_recipe, track={}, baseline=False)
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


def test_a_model_that_proves_too_slow_is_cut_again(tmp_path, tiny_recipe, monkeypatch):
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
    content = {"study": 1, "name": "found", "recipe": tiny_recipe.name, "search": search}
    path = tmp_path / "found.yaml"
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


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_factored_table_weighs_what_is_predicted_and_is_served(tmp_path, tiny_recipe, distill):
    small = ["baseline=false", "stages.intermediate=null", "stages.quantize.max_drop=1"]
    choices = Choices(str(tiny_recipe), [*small, "student.size=1x32/2/64"])
    kind = next(one for one in choices.kinds if one.name == "1x32")
    table = measure_shapes(choices, tmp_path / "shapes.json", engines=["onnx"], trims=True)
    factored = next(choices.factored(kind))
    assert factored.name == "1x32-e16"
    shape = factored.at(factored.most)
    settings = choices.base | factored.settings(shape.ffn) | choices.trimmed(1, factored)
    written = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    run = tmp_path / "run"
    done = distill("run", tiny_recipe, *small, *written, "--run-dir", run)
    assert done.returncode == 0, done.stderr
    final = read_results(run).final
    assert final.format == "onnx-int8"
    # The graph of one more product has names and scales.
    assert final.bytes / 1e6 == pytest.approx(table(shape, 1).size_mb, abs=0.004)
    assert table(shape, 1).size_mb < table(kind.at(shape.ffn), 1).size_mb
    texts = ["a good film", "the worst plot, a bad film"]
    model = AutoModelForSequenceClassification.from_pretrained(run / "bundle").eval()
    inputs = AutoTokenizer.from_pretrained(run / "bundle")(texts, padding=True, return_tensors="pt")
    expected = model(**inputs).logits.softmax(-1).tolist()
    for name, far in (("onnx", 1e-4), ("onnx-int8", 0.05)):
        answers = load(run / "bundle", format=name).predict(texts)
        for found, row in zip(answers, expected, strict=True):
            assert [*found["probabilities"].values()] == pytest.approx(row, abs=far)
