"""``layer_map: search`` in a run: what is tried, what is kept of it, and going on with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_files import changed, facts, recipe_at, write_lines

from distill import load_recipe, resume, run
from distill.stages import search


@pytest.fixture
def recipe_file(tiny_recipe: Path, tiny_bert) -> Path:
    """Only the first stage, from a teacher of 4 layers to a student of 2, its map searched."""
    stage = recipe_at(tiny_recipe)["stages"][0]
    stage |= {"layer_map": "search"}
    stage |= {"search": {"steps": 3, "candidates": ["last", [[1, 1]], "skip"]}}
    return changed(
        tiny_recipe,
        teacher={"model": str(tiny_bert(layers=4))},
        student={"size": "2x32/2/64"},
        stages=[stage],
        baseline=False,
        track={},
    )


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
    stage = facts(folder / "02-intermediate")
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
    rows = [{"text": "a bad film", "label": "positive"}] * 5
    test = write_lines(tmp_path / "test.jsonl", rows)
    run(load_recipe(recipe_file, f"data.test={test}"), tmp_path / "tested")
    one, other = (facts(run / "02-intermediate") for run in (whole, tmp_path / "tested"))
    assert one["layer_map_search"] == other["layer_map_search"]
