"""Runs with several prune stages, from the recipe to the bundle."""

from __future__ import annotations

import json
import shutil

import pytest
from run_files import changed, facts, models, recipe_at

SHORT = {"epochs": 1, "batch_size": 8, "lr": 1e-3}


def with_stages(path, *stages):
    last = recipe_at(path)["stages"][-3:]  # quantize, export, evaluate
    logits = {"kind": "distill", "name": "first", "objectives": [{"kind": "logits"}], **SHORT}
    parts = {"stages": [logits, *stages, *last], "student": {"size": "2x32/2/64"}}
    return changed(path, baseline=False, track={}, **parts)


@pytest.mark.slow
def test_units_layers_and_pieces_one_after_another(tmp_path, tiny_recipe, distill):
    recipe = with_stages(
        tiny_recipe,
        {"kind": "prune", "name": "units", "method": "fisher", "budget": {"macs": 0.5},
         "batch_size": 8, "recover": SHORT, "schedule": "agp", "steps": 2, "max_drop": 1.0},
        {"kind": "prune", "name": "words", "method": "vocabulary"},
        {"kind": "prune", "name": "narrow", "method": "embeddings", "rank": 8, "recover": None},
        {"kind": "distill", "name": "again", "objectives": [{"kind": "logits"}], **SHORT},
        {"kind": "prune", "name": "shallow", "method": "depth", "layers": 1, "recover": None,
         "batch_size": 8, "score_steps": 2},
    )  # fmt: skip
    run = tmp_path / "run"
    done = distill("run", recipe, "--run-dir", run)
    assert done.returncode == 0, done.stderr
    assert "50.0% asked" in done.stderr
    assert "subwords" in done.stderr
    rows = models(run)
    names = ["first", "units", "words", "narrow", "again", "shallow"]
    sizes = [rows[name]["parameters"] for name in names]
    assert sizes == sorted(sizes, reverse=True)
    assert rows["words"]["score"] == rows["units"]["score"]
    assert rows["onnx"]["score"] == rows["shallow"]["score"]
    assert not list(run.glob("*/try-*"))
    config = json.loads((run / "07-shallow" / "model" / "config.json").read_text("utf-8"))
    assert config["embedding_rank"] == 8
    assert "x 8 times 8 x 32" in done.stderr
    tokenizer = json.loads((run / "bundle" / "tokenizer.json").read_text("utf-8"))
    assert len(tokenizer["model"]["vocab"]) == facts(run / "04-words")["vocabulary"]["after"]
    answer = distill("predict", run, "a good film", "--json")
    assert answer.returncode == 0, answer.stderr
    # Stages behind the vocabulary are done again with the tokens that they were done with.
    before = (run / "06-again" / "model" / "model.safetensors").read_bytes()
    for name in ("06-again", "07-shallow"):
        shutil.rmtree(run / name)
    again = distill("resume", run)
    assert again.returncode == 0, again.stderr
    assert (run / "06-again" / "model" / "model.safetensors").read_bytes() == before
