"""Study files: the trials they make, and every error with its line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from distill.pipeline.strategy import stage_keys
from distill.recipe import catalog
from distill.recipe.study import is_study, load_study
from distill.system.errors import RecipeError

STUDY = """\
study: 1
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
def study(write):
    """Write the study with changes beside the small recipe."""

    def put(*changes: tuple[str, str]) -> Path:
        write()
        return write(*changes, text=STUDY, name="parts.yaml")

    return put


def _given(folders):
    return [f"folders.{name}={path}" for name, path in folders.items()]


def told(path, *overrides, **folders):
    with pytest.raises(RecipeError) as caught:
        load_study(path, *overrides, *_given(folders))
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


def by_name(path, *overrides, **folders):
    loaded = load_study(path, *overrides, *_given(folders))
    return {(trial.variant, trial.task, trial.seed): trial for trial in loaded.trials}


def test_trials(study):
    trials = by_name(study())
    # The first seed of every task, then the second; `last` is tried on one task only.
    assert list(trials) == [
        ("full", "one", 42), ("short", "one", 42), ("labels", "one", 42),
        ("full", "two", 3), ("last", "two", 3), ("short", "two", 3), ("labels", "two", 3),
        ("full", "two", 4), ("last", "two", 4), ("short", "two", 4), ("labels", "two", 4),
    ]  # fmt: skip
    one, two = trials["full", "one", 42].recipe, trials["full", "two", 4].recipe
    assert (one.data.max_length, two.data.max_length) == (128, 32)
    assert (one.teacher.finetune.epochs, two.teacher.finetune.epochs) == (1, 2)
    assert (one.seed, two.seed, two.name) == (42, 4, "parts-two-full")
    assert trials["last", "two", 3].recipe.stages[0].layer_map == "last"
    assert two.stages[0].layer_map == "uniform"
    assert [stage.name for stage in trials["short", "one", 42].recipe.stages] == ["only"]
    # What counts, and what is done for it.
    assert trials["full", "one", 42].stage == "prediction"
    assert [s.name for s in trials["labels", "one", 42].planned()] == ["teacher", "baseline"]
    assert [s.name for s in trials["full", "one", 42].planned()] == [
        "teacher", "baseline", "intermediate", "prediction",
    ]  # fmt: skip


def test_the_command_line_reaches_every_trial_and_variants_stay(study):
    trials = by_name(study(), "data.limit_train=9", "stages.intermediate.layer_map=first", "seed=5")
    assert {trial.recipe.data.limit_train for trial in trials.values()} == {9}
    assert trials["full", "two", 5].recipe.stages[0].layer_map == "first"
    assert trials["last", "two", 5].recipe.stages[0].layer_map == "last"
    # A seed on the command line stands in the place of the file's.
    assert {trial.seed for trial in trials.values()} == {5}
    seeds = {key[2] for key in by_name(study(), "seeds=[6,7]")}
    assert seeds == {6, 7}


def test_folders_are_filled_in(study):
    path = study(
        ("full: {}", 'full: {set: {data.train: "${data}/a: b.csv"}}'),
        ("labels: {set:", 'labels: {set: {student.init: "${general}"}, merge:'),
    )
    loaded = load_study(path, f"folders.data={path.parent}")
    assert loaded.trials[0].recipe.data.train == f"{path.parent}/a: b.csv"
    assert loaded.skipped == {
        "labels": "the folder 'general' is not given: folders.general=DIR (a student)"
    }
    assert not any(trial.variant == "labels" for trial in loaded.trials)


CASES: list[tuple[list[tuple[str, str]], list[str]]] = [
    ([("seeds:", "seed:")], [
        "parts.yaml:10: tasks.two.seed: unknown key; did you mean 'seeds'?"]),
    ([("seeds: [3, 4]", "seeds: [3, -4]")], [
        "parts.yaml:10: tasks.two.seeds[1]: found the number -4, expected at least 0"]),
    ([("recipe: small.yaml", "recipe: smal.yaml")], [
        "parts.yaml:3: recipe: no such file, and no recipe of this name: smal.yaml"]),
    ([("tasks: [two]", "tasks: [too]")], [
        "parts.yaml:13: variants.last.tasks[0]: 'too' is not known; there are: one, two"]),
    ([("study: 1", "study: 1\ncompare_to: whole")], [
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
        "baseline, intermediate, prediction, evaluate (in labels on one and 1 more)"]),
    ([("full: {}", 'full: {set: {data.path: "${dat}/x"}}')], [
        "parts.yaml:12: variants.full.set.data.path: '${dat}': 'dat' is not known; there are: "
        "data, general"]),
    ([("finetune.epochs: 2", 'finetune.epochs: 2, data.train: "${data}/x"')], [
        "parts.yaml:9: tasks.two.set.data.train: the folder 'data' is not given: "
        "folders.data=DIR (some files)"]),
    ([("{kind: logits}", "{kind: attention, weight: 0}")], [
        "parts.yaml:17: stages[0].objectives[0].weight: found the number 0, expected more than 0 "
        "or keys and values (in short on one and 1 more)"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), CASES)
def test_issues(study, changes, said):
    assert told(study(*changes)) == said


def test_equal_stages_have_equal_keys(study):
    trials = load_study(study()).trials
    keys = {(t.variant, t.task, t.seed): stage_keys(t) for t in trials}
    full, last = keys["full", "two", 3], keys["last", "two", 3]
    assert full[:2] == last[:2]  # teacher, and baseline
    assert full[2] != last[2]
    assert full[0] != keys["full", "two", 4][0]


def test_every_study_that_comes_along_can_be_read(tmp_path):
    names = [name for name in catalog.names() if is_study(name)]
    studies = ("static", "teachers", "tinybert", "vectors")
    assert names == [*(f"ablation/{name}" for name in studies), "search/quickstart"]
    with pytest.raises(RecipeError, match=r"folders\.data=DIR"):
        load_study("ablation/tinybert")
    loaded = load_study("ablation/tinybert", f"folders.data={tmp_path}")
    assert set(loaded.skipped) == {"init-general"}
    assert len(loaded.trials) == 17 * (1 + 1 + 3 + 3)
    assert load_study("search/quickstart").trials == []


def test_a_study_is_no_recipe_and_one_recipe_no_study(study, write, issues):
    path = study()
    (line,) = issues(path)
    assert line.startswith(
        "parts.yaml:1: study: a study and no recipe; look at it with: distill pl"
    )
    (line,) = told(write())
    assert "small.yaml: one recipe with one seed is no study: give seeds=[1,2,3]" in line
    with pytest.raises(RecipeError, match="did you mean 'ablation/tinybert'"):
        catalog.find("tinybert")


def test_a_recipe_with_seeds_is_a_study_of_one_variant(write):
    loaded = load_study(write(), "seeds=[3,1]")
    assert [(t.folder, t.stage, t.recipe.seed, t.recipe.seeds) for t in loaded.trials] == [
        ("trials/seed-3", "evaluate", 3, None), ("trials/seed-1", "evaluate", 1, None),
    ]  # fmt: skip
    assert {trial.recipe.name for trial in loaded.trials} == {"small"}
    assert all(trial.evaluates for trial in loaded.trials)
    (line,) = told(write(), "seeds=[1,2]", "stages.evaluate=null")
    assert line.startswith("override: seeds: several seeds are compared by what the evaluation")


def test_tasks_and_variants_may_be_left_out(study):
    text = "study: 1\nname: seeds\nrecipe: small.yaml\nseeds: [1, 2]\n"
    path = study()
    path.write_text(text, "utf-8")
    assert list(by_name(path)) == [("", "", 1), ("", "", 2)]
    path.write_text(text + "variants:\n  whole: {stage: evaluate}\n  short: {}\n", "utf-8")
    trials = by_name(path)
    assert [t.folder for t in trials.values()][:2] == [
        "trials/seed-1/whole", "trials/seed-1/short",
    ]  # fmt: skip
    assert [trials[v, "", 2].stage for v in ("whole", "short")] == ["evaluate", "prediction"]
    path.write_text(text.replace("[1, 2]", "[1, 1]"), "utf-8")
    assert told(path) == ["parts.yaml:4: seeds: 1 stands here twice; every seed is done once"]


def test_files_that_are_not_there_are_told_before_anything_is_run(study):
    path = study(
        ("teacher.finetune.epochs: 2", "data.source: files, data.path: null, data.train: no.csv")
    )
    assert len(load_study(path).trials) == 11
    with pytest.raises(RecipeError) as caught:
        load_study(path, check_files=True)
    (line,) = str(caught.value).splitlines()
    assert line.endswith(
        "parts.yaml:9: data.train: no such file: no.csv (in full on two and 3 more)"
    )
