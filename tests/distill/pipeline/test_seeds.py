"""A recipe done once for each of several seeds: through the real runner, on tiny random models."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import distill
from distill.cli.main import main
from distill.errors import RunFolderError, SeedError
from distill.evaluation.results import read_results
from distill.evaluation.seeds import read_seed_results
from distill.recipe.loader import load_recipe
from distill.runtime.manifest import find_bundle

SEEDS = [3, 1, 2]


@pytest.fixture
def seeds_recipe(tiny_recipe: Path) -> Path:
    """The tiny recipe with three seeds, test rows, and as little training as can be."""
    recipe = yaml.safe_load(tiny_recipe.read_text("utf-8"))
    recipe["seeds"] = SEEDS
    del recipe["seed"], recipe["track"]
    training = {"epochs": 1, "batch_size": 16, "lr": 1e-3}
    recipe["teacher"]["finetune"] = training
    recipe["data"]["test"] = recipe["data"]["train"]
    recipe["stages"] = [
        {"kind": "distill", "name": "prediction", "objectives": [{"kind": "logits"}], **training},
        {"kind": "quantize", "max_drop": 1.0},
        {"kind": "export", "max_drop": 1.0},
        {"kind": "evaluate", "batch_sizes": [1], "lengths": [8], "repeats": 3, "threads": 1},
    ]
    path = tiny_recipe.with_name("several.yaml")
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), "utf-8")
    return path


@pytest.fixture(scope="module")
def kept_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def done(seeds_recipe: Path, kept_run: Path, tmp_path: Path) -> Path:
    """A finished run of three seeds, made once and free to be changed."""
    if not kept_run.exists():
        distill.run(load_recipe(seeds_recipe), kept_run)
    run = tmp_path / "run"
    shutil.copytree(kept_run, run)
    return run


def _results(run: Path, seed: int) -> dict:
    return json.loads((run / f"seed-{seed}" / "results.json").read_text("utf-8"))


def test_a_run_of_three_seeds(done: Path, capfd, tmp_path: Path) -> None:
    content = json.loads((done / "results.json").read_text("utf-8"))
    assert (content["kind"], content["asked"], content["seeds"]) == ("seeds", SEEDS, SEEDS)
    # Each seed's folder is a whole run of a recipe with that seed alone.
    for seed in SEEDS:
        own = load_recipe(done / f"seed-{seed}" / "recipe.yaml")
        assert (own.seed, own.seeds) == (seed, None)
        assert (done / f"seed-{seed}" / "report.html").is_file()
        assert read_results(done / f"seed-{seed}").metric == content["metric"]
    weights = {(done / f"seed-{s}/01-teacher/model/model.safetensors").read_bytes() for s in SEEDS}
    assert len(weights) == 3
    # The table's numbers, from the seeds' own files by another way.
    single = {seed: {m["name"]: m for m in _results(done, seed)["models"]} for seed in SEEDS}
    assert [m["name"] for m in content["models"]] == list(single[3])
    for model in content["models"]:
        name = model["name"]
        for key in ("score", "retention"):
            values = [single[seed][name][key] for seed in SEEDS]
            mean = sum(values) / 3
            spread = (sum((v - mean) ** 2 for v in values) / 2) ** 0.5
            assert model[key]["values"] == {str(s): v for s, v in zip(SEEDS, values, strict=True)}
            assert model[key]["n"] == 3
            assert model[key]["mean"] == pytest.approx(mean)
            assert model[key]["deviation"] == pytest.approx(spread, abs=1e-12)
        if name not in ("teacher", "baseline"):
            gains = [single[s][name]["score"] - single[s]["baseline"]["score"] for s in SEEDS]
            assert model["gain"]["mean"] == pytest.approx(statistics.fmean(gains))
        else:
            assert model["gain"] is None
    # Commands on the folder.
    assert main(["evaluate", str(done)]) == 0
    table = capfd.readouterr().out
    final = content["models"][-1]
    told = f"{final['score']['mean']:.4f} ± {final['score']['deviation']:.4f}"
    assert told in table
    assert "3 seeds (3, 1, 2)" in table
    assert main(["evaluate", str(done), "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == content
    assert main(["evaluate", str(done), "--ledger"]) == 2
    assert f"distill evaluate {done}/seed-3 --ledger" in capfd.readouterr().err
    page = (done / "report.html").read_text("utf-8")
    assert all(f'href="seed-{seed}/report.html"' in page for seed in SEEDS)
    assert told in page
    (done / "report.html").unlink()
    assert main(["report", str(done), "--markdown", str(tmp_path / "table.md")]) == 0
    assert (done / "report.html").read_text("utf-8") == page
    assert told in (tmp_path / "table.md").read_text("utf-8")
    capfd.readouterr()
    assert main(["compare", str(done), str(done / "seed-1")]) == 0
    text = capfd.readouterr().out
    assert told in text
    assert "one seed alone has no spread: seed-1" in text
    assert main(["compare", str(done), str(done / "seed-1"), "--json"]) == 0
    runs = json.loads(capfd.readouterr().out)["runs"]
    assert [run["n"] for run in runs] == [3, 1]
    assert runs[1]["final"]["score"]["deviation"] is None
    with pytest.raises(RunFolderError, match="several seeds; name one of its runs"):
        read_results(done)


def test_predictions_come_from_the_seed_that_is_best_on_validation(
    done: Path, capfd, distill
) -> None:
    content = json.loads((done / "results.json").read_text("utf-8"))
    assert content["split"] == "test"
    scores = {}
    for seed in SEEDS:  # the exported int8 file's, on the validation rows
        facts = json.loads((done / f"seed-{seed}/05-export/stage.json").read_text("utf-8"))
        scores[seed] = facts["scores_by_format"]["onnx-int8"]
    best = next(seed for seed in SEEDS if scores[seed] == max(scores.values()))
    assert content["chosen"]["seed"] == best
    assert content["chosen"]["validation"] == scores[best]
    told = distill("predict", done, "a good film", "--json")
    own = distill("predict", done / f"seed-{best}", "a good film", "--json")
    assert told.returncode == 0, told.stderr
    assert told.stdout == own.stdout
    assert [line for line in told.stderr.splitlines() if "seed" in line] == [
        f"{done}: seed {best}, the best of 3 on the validation rows (accuracy {scores[best]:.4f})"
    ]
    assert own.stderr == ""
    # Another choice is followed, without torch or the recipe.
    other = next(seed for seed in SEEDS if seed != best)
    content["chosen"] |= {"seed": other, "folder": f"seed-{other}"}
    (done / "results.json").write_text(json.dumps(content), "utf-8")
    assert find_bundle(done) == done / f"seed-{other}" / "bundle"
    # A student or teacher is taken from one seed's run, not from all.
    recipe = load_recipe(done / f"seed-{best}" / "recipe.yaml")
    assert main(["validate", str(done / "recipe.yaml"), f"student.init={done}"]) == 2
    assert "several seeds; name one of its runs" in capfd.readouterr().err
    assert recipe.name == "tiny"


def _stamps(run: Path) -> dict[str, int]:
    return {str(p.relative_to(run)): p.stat().st_mtime_ns for p in run.rglob("done.json")}


def test_seeds_are_added_and_settings_changed(done: Path, caplog) -> None:
    before, results = _stamps(done), (done / "results.json").read_bytes()
    distill.resume(done)
    assert _stamps(done) == before
    assert json.loads((done / "results.json").read_bytes()) == json.loads(results)
    content = distill.resume(done, "seeds=[3,1,2,5]")
    assert content["seeds"] == [3, 1, 2, 5]
    after = _stamps(done)
    assert {name: after[name] for name in before} == before
    assert (done / "seed-5" / "bundle" / "distill.json").is_file()
    content = distill.resume(done, "seeds=[1,2]", "stages.evaluate.lengths=[16]")
    assert content["seeds"] == [1, 2]
    assert content["cell"] == "b1_l16"
    changed = {name for name, stamp in _stamps(done).items() if after[name] != stamp}
    assert changed == {f"seed-{seed}/06-evaluate/done.json" for seed in (1, 2)}
    # One seed does not become several.
    with pytest.raises(RunFolderError, match="does not become one of several"):
        distill.resume(done, "seed=1")
    with pytest.raises(RunFolderError, match="does not become one of several"):
        distill.resume(done / "seed-1", "seeds=[1,2]")
    with pytest.raises(RunFolderError, match="finished here"):
        distill.run(load_recipe(done / "recipe.yaml"), done)


def test_a_seed_that_fails_is_named(seeds_recipe: Path, tmp_path: Path, monkeypatch) -> None:
    from distill.errors import GateError
    from distill.stages import STAGES

    run, real = tmp_path / "run", STAGES["quantize"]

    def failing(config, context):
        if context.recipe.seed == 1:
            raise GateError("int8 lost too much")
        return real(config, context)

    monkeypatch.setitem(STAGES, "quantize", failing)
    with pytest.raises(SeedError) as error:
        distill.run(load_recipe(seeds_recipe), run)
    assert str(error.value) == (
        f"{run}: seed 1 failed: int8 lost too much; what was finished is kept; once that is "
        f"mended: distill resume {run}"
    )
    found = read_seed_results(run)
    assert (found.asked, found.seeds) == (SEEDS, [3])
    assert found.models[0].score.deviation is None
    assert "left: 1, 2" in (run / "report.html").read_text("utf-8")
    monkeypatch.setitem(STAGES, "quantize", real)
    kept = _stamps(run)
    assert distill.resume(run)["seeds"] == SEEDS
    assert {name: _stamps(run)[name] for name in kept} == kept

    def stopped(config, context):
        raise KeyboardInterrupt

    monkeypatch.setitem(STAGES, "quantize", stopped)
    with pytest.raises(KeyboardInterrupt) as stop:
        distill.resume(run, "stages.quantize.max_drop=0.9")
    assert stop.value.resume_command == f"distill resume {run}"
    assert not (run / "results.json").exists()  # it told of other settings


def test_nothing_is_written_where_the_data_are_missing(seeds_recipe, tmp_path, capfd) -> None:
    run = tmp_path / "run"
    words = ["run", str(seeds_recipe), "--run-dir", str(run), f"data.test={tmp_path}/none.jsonl"]
    assert main(words) == 2
    assert not run.exists()
    assert main(["evaluate", str(run)]) == 2


def test_results_tell_of_rows_that_chose(seeds_recipe, tmp_path, caplog) -> None:
    recipe = yaml.safe_load(seeds_recipe.read_text("utf-8"))
    del recipe["data"]["test"]
    recipe |= {"seeds": [1, 2], "baseline": False}
    recipe["stages"] = [recipe["stages"][0], recipe["stages"][3]]
    seeds_recipe.write_text(yaml.safe_dump(recipe), "utf-8")
    with caplog.at_level(logging.INFO, logger="distill"):
        content = distill.run(load_recipe(seeds_recipe), tmp_path / "run")
    assert "seed 2 (2 of 2); about" in caplog.text
    assert content["split"] == "validation"
    assert content["rows_by_seed"] is False
    assert "also chose the checkpoints" in (tmp_path / "run" / "report.html").read_text("utf-8")
    values = content["models"][-1]["score"]["values"]
    best = content["chosen"]
    assert best["validation"] == max(values.values())
    recipe["data"] |= {"limit_validation": 8}
    seeds_recipe.write_text(yaml.safe_dump(recipe), "utf-8")
    distill.run(load_recipe(seeds_recipe), tmp_path / "drawn")
    page = (tmp_path / "drawn" / "report.html").read_text("utf-8")
    assert "each seed drew its own rows to be scored on" in page
    log = (tmp_path / "run" / "log.txt").read_text("utf-8")
    assert "seed 1 (1 of 2)" in log


def _kill_at(sign: Path, words: list[str], cwd: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "distill", *words],
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and not sign.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, f"over before {sign}"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_killed_in_the_middle_it_ends_as_one_that_was_not(
    done: Path, seeds_recipe: Path, tmp_path: Path, distill
) -> None:
    broken = tmp_path / "broken"
    words = ["run", str(seeds_recipe), "--run-dir", str(broken)]
    for sign in (
        "recipe.yaml",
        "seed-3/04-quantize/begun.json",
        "seed-1/03-prediction/checkpoint/last.ckpt",
        "seed-2/recipe.yaml",
    ):
        _kill_at(broken / sign, words, tmp_path)
        words = ["resume", str(broken)]
    table = json.loads((broken / "results.json").read_text("utf-8"))
    assert table["seeds"] == [3, 1]
    last = distill(*words)
    assert last.returncode == 0, last.stderr
    for seed in SEEDS:
        for name in ("01-teacher", "02-baseline", "03-prediction"):
            file = f"seed-{seed}/{name}/model/model.safetensors"
            assert (broken / file).read_bytes() == (done / file).read_bytes(), file
    scores = [
        {row.name: row.score for row in read_seed_results(run).models} for run in (broken, done)
    ]
    assert scores[0] == scores[1]
    # A folder killed before it had its recipe is no stranger.
    shutil.rmtree(broken / "seed-2")
    (broken / "seed-2").mkdir()
    (broken / "seed-2" / ".recipe.yaml.abc").write_text("", "utf-8")
    assert distill(*words).returncode == 0


def test_measuring_again_writes_the_table_again(done: Path, capfd) -> None:
    before = json.loads((done / "results.json").read_text("utf-8"))
    (done / "results.json").write_text("{", "utf-8")
    assert main(["evaluate", str(done)]) == 2
    assert "not the results of several seeds" in capfd.readouterr().err
    assert main(["evaluate", str(done), "--rerun", "--json"]) == 0
    after = json.loads(capfd.readouterr().out)
    assert after == json.loads((done / "results.json").read_text("utf-8"))
    assert [m["score"] for m in after["models"]] == [m["score"] for m in before["models"]]
    shutil.rmtree(done / "seed-2" / "05-export")
    assert main(["evaluate", str(done), "--rerun"]) == 2
    told = capfd.readouterr().err.splitlines()[-1]
    assert f"{done}: seed 2 failed: " in told
    assert told.endswith(f"once that is mended: distill resume {done}")
