"""``layer_map: search`` in a run: what is tried, what is kept of it, and going on with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from distill import load_recipe, resume, run
from distill.stages import search


@pytest.fixture
def recipe_file(tiny_recipe: Path, tiny_bert) -> Path:
    """Only the first stage, from a teacher of 4 layers to a student of 2, its map searched."""
    recipe = yaml.safe_load(tiny_recipe.read_text("utf-8"))
    recipe["teacher"] = {"model": str(tiny_bert(layers=4))}
    recipe["student"] = {"size": "2x32/2/64"}
    recipe["stages"] = [
        recipe["stages"][0]
        | {"layer_map": "search", "search": {"steps": 3, "candidates": ["last", [[1, 1]], "skip"]}}
    ]
    recipe |= {"baseline": False, "track": {}}
    path = tiny_recipe.with_name("search.yaml")
    path.write_text(yaml.safe_dump(recipe), "utf-8")
    return path


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def whole(recipe_file, kept: Path) -> Path:
    """A finished run, made once and not to be changed."""
    if not kept.exists():
        run(load_recipe(recipe_file), kept)
    return kept


def test_every_candidate_is_scored_and_the_best_is_used(whole):
    folder = whole
    stage = json.loads((folder / "02-intermediate" / "stage.json").read_text("utf-8"))
    found = stage["layer_map_search"]
    assert [one["name"] for one in found["tried"]] == ["last", "1<1", "skip"]
    assert [one["pairs"] for one in found["tried"]] == [
        [[1, 3], [2, 4]],
        [[1, 1]],
        [[1, 1], [2, 3]],
    ]
    assert all(one["steps"] == 6 for one in found["tried"])
    best = max(found["tried"], key=lambda one: one["score"])
    assert (found["chosen"], stage["layer_map"]) == (best["name"], best["pairs"])
    assert stage["steps"] == 12  # the stage's own training is as long as without a search
    log = (folder / "log.txt").read_text("utf-8")
    assert "layer map 1<1 (2 of 3): validation accuracy" in log
    assert f"takes layer map {best['name']}" in log
    # Of the candidates' trainings only what they came to is left.
    kept = sorted(path.name for path in (folder / "02-intermediate" / "search").iterdir())
    assert kept == ["1.json", "2.json", "3.json"]


def test_a_search_that_was_stopped_goes_on_with_the_next_candidate(
    tmp_path, recipe_file, whole, monkeypatch
):
    broken = tmp_path / "broken"
    tried: list[str] = []
    real = search._try

    def stopped(candidate, name, *rest):
        tried.append(name)
        if name == "skip" and tried.count("skip") == 1:
            raise KeyboardInterrupt
        return real(candidate, name, *rest)

    monkeypatch.setattr(search, "_try", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(load_recipe(recipe_file), broken)
    resume(broken)
    assert tried == ["last", "1<1", "skip", "skip"]
    for name in ("model/model.safetensors", "search/2.json", "search/3.json"):
        place = Path("02-intermediate") / name
        assert (broken / place).read_bytes() == (whole / place).read_bytes()


def test_a_search_is_not_decided_by_test_rows(tmp_path, recipe_file, whole):
    """The same run with other test examples tries, scores and takes the same."""
    recipe = yaml.safe_load(recipe_file.read_text("utf-8"))
    rows = tmp_path / "test.jsonl"
    rows.write_text('{"text": "a bad film", "label": "positive"}\n' * 5, "utf-8")
    recipe["data"]["test"] = str(rows)
    recipe_file.write_text(yaml.safe_dump(recipe), "utf-8")
    run(load_recipe(recipe_file), tmp_path / "tested")
    one, other = (
        json.loads((folder / "02-intermediate" / "stage.json").read_text("utf-8"))
        for folder in (whole, tmp_path / "tested")
    )
    assert one["layer_map_search"] == other["layer_map_search"]
