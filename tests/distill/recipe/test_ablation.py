"""Ablation files: the cells they make, and every fault with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distill.errors import RecipeError
from distill.recipe import catalog
from distill.recipe.ablation import Cell, load_ablation
from distill.recipe.ablation_cost import stage_keys

ABLATION = """\
ablation: 1
name: parts
recipe: small.yaml
folders: {data: some files, general: a student}
tasks:
  one: {}
  two:
    merge: {data: {max_length: 32, limit_train: 50}}
    set: {teacher.finetune.epochs: 2}
    seeds: [3, 4]
variants:
  full: {}
  last: {set: {stages.intermediate.layer_map: last}, tasks: [two]}
  short:
    merge:
      stages:
        - {kind: distill, name: only, objectives: [{kind: logits}]}
  labels: {set: {baseline: true}, stage: baseline}
"""
Write = Callable[..., Path]


@pytest.fixture
def ablation(write: Write) -> Write:
    """Write the ablation with changes beside the small recipe."""

    def put(*changes: tuple[str, str]) -> Path:
        write()
        return write(*changes, text=ABLATION, name="parts.yaml")

    return put


def told(path: Path, *overrides: str, **folders: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_ablation(path, *overrides, folders=folders)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


def by_name(path: Path, *overrides: str, **folders: str) -> dict[tuple[str, str, int], Cell]:
    loaded = load_ablation(path, *overrides, folders=folders)
    return {(cell.variant, cell.task, cell.seed): cell for cell in loaded.cells}


def test_cells(ablation: Write) -> None:
    cells = by_name(ablation())
    # The first seed of every task, then the second; `last` is tried on one task only.
    assert list(cells) == [
        ("full", "one", 42), ("short", "one", 42), ("labels", "one", 42),
        ("full", "two", 3), ("last", "two", 3), ("short", "two", 3), ("labels", "two", 3),
        ("full", "two", 4), ("last", "two", 4), ("short", "two", 4), ("labels", "two", 4),
    ]  # fmt: skip
    one, two = cells["full", "one", 42].recipe, cells["full", "two", 4].recipe
    assert (one.data.max_length, two.data.max_length) == (128, 32)
    assert (one.teacher.finetune.epochs, two.teacher.finetune.epochs) == (1, 2)  # type: ignore[union-attr]
    assert (one.seed, two.seed, two.name) == (42, 4, "parts-two-full")
    assert cells["last", "two", 3].recipe.stages[0].layer_map == "last"  # type: ignore[union-attr]
    assert two.stages[0].layer_map == "uniform"  # type: ignore[union-attr]
    assert [stage.name for stage in cells["short", "one", 42].recipe.stages] == ["only"]
    # What counts, and what is done for it.
    assert cells["full", "one", 42].stage == "prediction"
    assert [s.name for s in cells["labels", "one", 42].planned()] == ["teacher", "baseline"]
    assert [s.name for s in cells["full", "one", 42].planned()] == [
        "teacher", "baseline", "intermediate", "prediction",
    ]  # fmt: skip


def test_the_command_line_reaches_every_cell_and_variants_stay(ablation: Write) -> None:
    cells = by_name(
        ablation(), "data.limit_train=9", "stages.intermediate.layer_map=first", "seed=5"
    )
    assert {cell.recipe.data.limit_train for cell in cells.values()} == {9}
    assert cells["full", "two", 3].recipe.stages[0].layer_map == "first"  # type: ignore[union-attr]
    assert cells["last", "two", 3].recipe.stages[0].layer_map == "last"  # type: ignore[union-attr]
    assert ("full", "one", 5) in cells


def test_folders_are_filled_in(ablation: Write) -> None:
    path = ablation(
        ("full: {}", 'full: {set: {data.train: "${data}/a: b.csv"}}'),
        ("labels: {set:", 'labels: {set: {student.init: "${general}"}, merge:'),
    )
    loaded = load_ablation(path, folders={"data": "/x"})
    assert loaded.cells[0].recipe.data.train == "/x/a: b.csv"
    assert loaded.skipped == {
        "labels": "the folder 'general' is not given: --folder general=DIR (a student)"
    }
    assert not any(cell.variant == "labels" for cell in loaded.cells)


CASES: list[tuple[list[tuple[str, str]], list[str]]] = [
    ([("seeds:", "seed:")], [
        "parts.yaml:10: tasks.two.seed: unknown key; did you mean 'seeds'?"]),
    ([("seeds: [3, 4]", "seeds: [3, -4]")], [
        "parts.yaml:10: tasks.two.seeds[1]: found the number -4, expected at least 0"]),
    ([("recipe: small.yaml", "recipe: smal.yaml")], [
        "parts.yaml:3: recipe: no such file, and no recipe of this name: smal.yaml"]),
    ([("tasks: [two]", "tasks: [too]")], [
        "parts.yaml:13: variants.last.tasks[0]: 'too' is not known; there are: one, two"]),
    ([("ablation: 1", "ablation: 1\ncompare_to: whole")], [
        "parts.yaml:2: compare_to: 'whole' is not known; there are: full, last, short, labels"]),
    ([("layer_map: last", "layer_map: lost")], [
        "parts.yaml:13: stages[0].layer_map: found the text 'lost', expected "
        "'uniform', 'first', 'last', 'skip' or 'search' or a list ([a, b] or lines that begin with "
        "-); did you mean 'last'? (in last on two)"]),
    ([("stages.intermediate.layer_map: last", "stages.intermediat: null")], [
        "parts.yaml:13: stages.intermediat: nothing here is called 'intermediat'; did you mean "
        "'intermediate'? there are: intermediate, prediction, export, evaluate (in last on two)"]),
    ([("stage: baseline", "stage: basline")], [
        "parts.yaml:18: variants.labels.stage: 'basline' is not known; there are: teacher, "
        "baseline, intermediate, prediction (in labels on one and 1 more)"]),
    ([("full: {}", 'full: {set: {data.path: "${dat}/x"}}')], [
        "parts.yaml:12: variants.full.set.data.path: '${dat}': 'dat' is not known; there are: "
        "data, general"]),
    ([("finetune.epochs: 2", 'finetune.epochs: 2, data.train: "${data}/x"')], [
        "parts.yaml:9: tasks.two.set.data.train: the folder 'data' is not given: --folder "
        "data=DIR (some files)"]),
    ([("{kind: logits}", "{kind: attention, weight: 0}")], [
        "parts.yaml:17: stages[0].objectives[0].weight: found the number 0, expected more than 0 "
        "or keys and values (in short on one and 1 more)"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), CASES)
def test_faults(ablation: Write, changes: list[tuple[str, str]], said: list[str]) -> None:
    assert told(ablation(*changes)) == said


def test_a_fault_of_the_recipe_is_told_once(ablation: Write, write: Write) -> None:
    path = ablation()
    write(("size: 3x384", "size: 3x384/7"))
    (line,) = told(path)
    assert line.startswith("small.yaml:10: student.size: ")
    assert line.endswith("(in full on one and 6 more)")


def test_folders_that_the_file_does_not_know(ablation: Write) -> None:
    assert told(ablation(), glue="/x") == [
        "override: --folder glue: 'glue' is not known; there are: data, general"
    ]


def test_shared_stages_have_the_same_key(ablation: Write) -> None:
    cells = load_ablation(ablation()).cells
    keys = {(c.variant, c.task, c.seed): stage_keys(c) for c in cells}
    full, last = keys["full", "two", 3], keys["last", "two", 3]
    assert full[:2] == last[:2]  # teacher, and baseline
    assert full[2] != last[2]
    assert full[0] != keys["full", "two", 4][0]


def test_every_ablation_that_comes_along_can_be_read(tmp_path: Path) -> None:
    for name in catalog.ablations():
        with pytest.raises(RecipeError, match="--folder data=DIR"):
            load_ablation(name)
        folders = {"data": str(tmp_path)}
        loaded = load_ablation(name, folders=folders)
        assert set(loaded.skipped) == {"init-general"}
        assert len(loaded.cells) > 50


def test_ablations_are_found_by_name() -> None:
    assert "tinybert" in catalog.ablations()
    assert not any(name.startswith("ablation") for name in catalog.names())
    with pytest.raises(RecipeError, match="no ablation of this name; did you mean 'tinybert'"):
        catalog.find_ablation("tinybrt")


def test_a_recipe_is_no_ablation_and_the_other_way_round(
    ablation: Write, write: Write, faults: Callable[..., list[str]]
) -> None:
    path = ablation()
    (line,) = faults(path)
    assert line.startswith("parts.yaml:1: ablation: an ablation and no recipe; ")
    (line,) = told(write())
    assert "small.yaml: a recipe and no ablation" in line
    with pytest.raises(RecipeError, match="distill ablate tinybert --plan"):
        catalog.find("tinybert")


def test_unlabelled_text_has_nothing_to_compare(ablation: Write) -> None:
    lines = told(ablation(("recipe: small.yaml", "recipe: general")))
    assert any("task.kind: an ablation compares scores" in line for line in lines)


def test_files_that_are_not_there_are_told_before_anything_is_run(ablation: Write) -> None:
    path = ablation(
        ("teacher.finetune.epochs: 2", "data.source: files, data.path: null, data.train: no.csv")
    )
    assert len(load_ablation(path).cells) == 11
    with pytest.raises(RecipeError) as caught:
        load_ablation(path, look=True)
    (line,) = str(caught.value).splitlines()
    assert line.endswith(
        "parts.yaml:9: data.train: no such file: no.csv (in full on two and 3 more)"
    )
