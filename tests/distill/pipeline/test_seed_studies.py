"""A recipe with several seeds: every model over them, and what commands make of the study."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path

import pytest
import yaml
from run_files import models, recipe_at

from distill.cli.main import main
from distill.evaluation.study import read_study
from distill.pipeline.study import run_study
from distill.recipe.study import load_study
from distill.runtime.manifest import find_bundle

SEEDS = [3, 1]

#: All slow, so that the study that they share is made once.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def recipe(tiny_recipe: Path) -> Path:
    """The tiny recipe with two seeds, test examples, and as little training as can be."""
    content = recipe_at(tiny_recipe)
    content |= {"seeds": SEEDS, "track": {}}
    del content["seed"]
    training = {"epochs": 1, "batch_size": 16, "lr": 1e-3}
    content["teacher"]["finetune"] = training
    content["data"]["test"] = content["data"]["train"]
    content["stages"] = [
        {"kind": "distill", "name": "prediction", "objectives": [{"kind": "logits"}], **training},
        {"kind": "quantize", "max_drop": 1.0},
        {"kind": "export", "max_drop": 1.0},
        {"kind": "evaluate", "batch_sizes": [1], "lengths": [8], "repeats": 3, "threads": 1},
    ]
    tiny_recipe.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return tiny_recipe


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "study"


@pytest.fixture
def done(recipe: Path, kept: Path, tmp_path: Path) -> Path:
    """A finished study of two seeds, made once and free to be changed."""
    if not kept.exists():
        run_study(load_study(recipe), kept)
        shutil.copy(recipe, kept.with_name("recipe.yaml"))
    return Path(shutil.copytree(kept, tmp_path / "study"))


def test_every_model_over_the_seeds(done: Path, capfd, tmp_path: Path) -> None:
    study = read_study(done)
    assert study is not None
    assert [(t.seed, t.status, t.evaluated, t.split) for t in study.trials] == [
        (3, "done", True, "test"), (1, "done", True, "test"),
    ]  # fmt: skip
    weights = {(done / f"trials/seed-{s}/01-teacher/model/model.safetensors").read_bytes()
               for s in SEEDS}  # fmt: skip
    assert len(weights) == 2
    # The table's numbers, from the trials' own files by another way.
    single = {seed: models(done / f"trials/seed-{seed}") for seed in SEEDS}
    (table,) = study.models
    assert [model.name for model in table.models] == list(single[3])
    for model in table.models:
        values = [single[seed][model.name]["score"] for seed in SEEDS]
        assert list(model.score.values.values()) == values
        assert model.score.mean == pytest.approx(statistics.fmean(values))
        assert model.score.deviation == pytest.approx(statistics.stdev(values), abs=1e-12)
    final = table.final
    gains = [single[s][final.name]["score"] - single[s]["baseline"]["score"] for s in SEEDS]
    assert final.gain is not None
    assert final.gain.mean == pytest.approx(statistics.fmean(gains))
    told = f"{final.score.mean:.4f} ± {final.score.deviation:.4f}"
    # Commands on the folder.
    assert main(["evaluate", str(done)]) == 0
    assert told in capfd.readouterr().out
    page = (done / "report.html").read_text("utf-8")
    assert all(f'href="trials/seed-{seed}/report.html"' in page for seed in SEEDS)
    assert main(["report", str(done), "--markdown", str(tmp_path / "table.md")]) == 0
    assert told in (tmp_path / "table.md").read_text("utf-8")
    assert main(["evaluate", str(done), "--ledger"]) == 2
    assert f"distill evaluate {done}/trials/seed-1 --ledger" in capfd.readouterr().err
    # Measured again, the scores are the same and the table is written anew.
    assert main(["evaluate", str(done), "--rerun", "--json"]) == 0
    again = json.loads(capfd.readouterr().out)
    assert [m["score"] for m in again["models"][0]["models"]] == [
        m.score.model_dump(mode="json") for m in table.models
    ]


def test_predictions_come_from_the_seed_that_is_best_on_validation(
    done: Path, capfd, distill
) -> None:
    scores = {}
    for seed in SEEDS:  # the exported int8 file's, on the validation examples
        (path,) = (done / f"trials/seed-{seed}").glob("*-export/stage.json")
        scores[seed] = json.loads(path.read_text("utf-8"))["scores_by_format"]["onnx-int8"]
    best = next(seed for seed in SEEDS if scores[seed] == max(scores.values()))
    content = json.loads((done / "study.json").read_text("utf-8"))
    assert content["chosen"] == {
        "variant": "", "seed": best, "seeds": 2, "folder": f"trials/seed-{best}",
        "metric": "accuracy", "validation": scores[best],
    }  # fmt: skip
    told = distill("predict", done, "a good film", "--json")
    own = distill("predict", done / f"trials/seed-{best}", "a good film", "--json")
    assert told.returncode == 0, told.stderr
    assert told.stdout == own.stdout
    assert f"seed {best}, the best of 2 on the validation examples (accuracy" in told.stderr
    other = next(seed for seed in SEEDS if seed != best)
    content["chosen"] |= {"seed": other, "folder": f"trials/seed-{other}"}
    (done / "study.json").write_text(json.dumps(content), "utf-8")
    assert find_bundle(done) == done / f"trials/seed-{other}" / "bundle"
    content["chosen"] = None
    (done / "study.json").write_text(json.dumps(content), "utf-8")
    assert main(["predict", str(done), "x"]) == 2
    assert "a study that chose no bundle; name the run of one trial" in capfd.readouterr().err


def test_seeds_are_added_and_settings_changed(done: Path, kept: Path) -> None:
    recipe = kept.with_name("recipe.yaml")
    marks = {p: p.stat().st_mtime_ns for p in done.rglob("done.json")}
    more = run_study(load_study(recipe, "seeds=[3,1,5]"), done)
    assert [trial.seed for trial in more.trials] == [3, 1, 5]
    assert {path: path.stat().st_mtime_ns for path in marks} == marks
    # A setting that changes redoes what depends on it, in the trials that are run.
    changed = run_study(load_study(recipe, "seeds=[1,3]", "stages.evaluate.lengths=[16]"), done)
    assert changed.models[0].cell == "b1_l16"
    again = {p for p in marks if p.stat().st_mtime_ns != marks[p]}
    assert {p.parent.name for p in again} == {"06-evaluate"}
