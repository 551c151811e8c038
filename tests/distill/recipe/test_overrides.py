from typing import Any

import pytest

from distill.recipe.loader import load_recipe, resolved
from distill.recipe.overrides import read_tree

#: A source whose columns are not known before it is read.
FILES = ("source: builtin\n  path: docstrings", "source: files\n  train: train.csv")


@pytest.mark.parametrize(
    ("override", "keys", "expected"),
    [
        ("student.size=2x384", ("student", "size"), "2x384"),
        ("stages.prediction.epochs=1", ("stages", 1, "epochs"), 1),
        ("stages.1.epochs=7", ("stages", 1, "epochs"), 7),
        ("stages.export.max_drop=1e-3", ("stages", 2, "max_drop"), 1e-3),
        ("stages.intermediate.objectives.hidden.weight=3", ("stages", 0, "objectives", 1), {}),
        ("teacher.finetune=null", ("teacher", "finetune"), None),
        ("teacher.finetune=", ("teacher", "finetune"), None),
        ("teacher.finetune.epochs=4", ("teacher", "finetune", "epochs"), 4),
        ("baseline=false", ("baseline",), False),
        ("baseline.epochs=9", ("baseline", "epochs"), 9),
        ("trainer.precision=fp32", ("trainer", "precision"), "fp32"),
        ("data.train=*.csv", ("data", "train"), "*.csv"),
        ("data.train=@a=b", ("data", "train"), "@a=b"),
        ("stages.evaluate.lengths=[16, 64]", ("stages", 3, "lengths"), [16, 64]),
        ("task.labels=[a, 'null']", ("task", "labels"), ["a", "null"]),
        ("track.wandb.project=p", ("track", "wandb", "project"), "p"),
    ],
)
def test_what_an_override_reaches(write, override, keys, expected):
    found: Any = resolved(load_recipe(write(), override))
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else found[key]
    assert found == (expected if expected != {} else {"kind": "hidden", "weight": 3})


@pytest.mark.parametrize(
    "text",
    [
        "text #1", "#1", "a: b", "a:", "- a", "-", "? a", "@a", "%a", "`a`", "!tag a", "!!int 3",
        "&a b", "*a", "|", "> a", "---", "--- a", "...", "a, b", " a", "a ", "x]", "}", "\ta",
        "5 apples", "1:30", "yes", "2026-11-27", "=a=b", "text\n#1",
    ],
)  # fmt: skip
def test_what_is_no_yaml_as_a_whole_is_the_text_as_written(write, text):
    assert load_recipe(write(FILES), f"data.columns.text={text}").data.columns.text == text


def test_the_last_override_wins_and_mappings_replace(write):
    recipe = load_recipe(write(), "seed=1", "seed=2", "teacher={model: minilm-l6}")
    assert recipe.seed == 2
    assert recipe.teacher.finetune is None


def _stages(write, *overrides):
    return [stage.name for stage in load_recipe(write(), *overrides).stages]


def test_an_item_set_to_nothing_is_removed(write):
    assert _stages(write, "stages.intermediate=null") == ["prediction", "export", "evaluate"]
    assert _stages(write, "stages.3=", "stages.export=null") == ["intermediate", "prediction"]
    recipe = load_recipe(write(), "stages.intermediate.objectives.attention=null")
    assert [o.kind for o in recipe.stages[0].objectives] == ["hidden"]


def test_items_are_added_at_the_end_and_before_another(write):
    more = "{kind: distill, name: more, objectives: [{kind: hidden}]}"
    found = _stages(write, f"stages.+prediction={more}")
    assert found[:3] == ["intermediate", "more", "prediction"]
    removed = ["stages.export=null", "stages.evaluate=null"]
    assert _stages(write, *removed, f"stages.+={more}")[-1] == "more"
    recipe = load_recipe(write(), "stages.intermediate.objectives.+={kind: embedding, weight: 2}")
    stage = recipe.stages[0]
    assert [(o.kind, o.weight) for o in stage.objectives] == [
        ("attention", 1), ("hidden", 2), ("embedding", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("a..b=3", ": an empty name between the dots"),
        (
            "stages.predict.epochs=1",
            ": nothing here is called 'predict'; did you mean 'prediction'? there are: intermedi",
        ),
        (
            "stages.distill.epochs=1",
            ": several are of kind 'distill' (intermediate, prediction); name one, or give its num",
        ),
        (
            "stages.9.epochs=1",
            ": nothing here is called '9'; there are: intermediate, prediction, export, evaluate",
        ),
        ("stages.prediction.epocs=1", ": unknown key; did you mean 'epochs'?"),
        ("stages.prediction.epochs=many", ": found the text 'many', expected a whole number"),
        (
            "stages.prediction={kind: distill, objectives: [{kind: logit}]}",
            ".objectives[0].kind: unknown kind 'logit'; there are: attention, ",
        ),
        ("stages.intermediate.objectives.attention.kind=null", ": found nothing (null)"),
        ("stages.prediction.objectives.logits=null", ": "),
        (
            "stages.+predict={kind: export}",
            ": nothing here is called 'predict'; did you mean 'predic",
        ),
        ("stages.+prediction.epochs=1", ": an item is added whole; leave '.epochs' out"),
        (
            "stages.+export={kind: distill, name: more, objectives: [{kind: logit}]}",
            ".objectives[0].kind: unknown kind 'logit'",
        ),
        ("description={a: b}", ": found keys and values, expected text"),
        ("seed=3 # three", ": found the text '3 # three', expected a whole number"),
        ("task.labels=[a, b] # two", ": something stands before or behind"),
        ("seed=[1", ": not valid YAML:"),
        ("seed={a: 1, a: 2}", ": the key occurs twice"),
    ],
)
def test_issues_of_overrides(write, issues, override, said):
    (told,) = issues(write(), override)
    assert told.startswith(f"override: {override.partition('=')[0]}{said}")


@pytest.mark.parametrize("override", ["seed", "=3"])
def test_no_override(write, issues, override):
    told = issues(write(), override)
    assert told == [f"override: '{override}' is not KEY=VALUE, such as student.size=3x384"]


def test_issues_of_overrides_and_file_are_told_together(write, issues):
    path = write(("size: 3x384", "sise: 3x384"))
    assert issues(path, "nope", "seed=-1") == [
        "override: 'nope' is not KEY=VALUE, such as student.size=3x384",
        "override: seed: found the number -1, expected at least 0",
        "small.yaml:10: student.size: missing; 'tinybert4' (4 layers, 312 wide), 'tinybert6', "
        "... or 'LxD' such as '3x384'.",
        "small.yaml:10: student.sise: unknown key; did you mean 'size'?",
    ]


def test_mappings_merge_and_lists_replace(write):
    write(text="a: {x: 1, y: {z: 2}}\nl: [1, 2]\nk: 1\n", name="_base/low.yaml")
    path = write(text="base: _base/low.yaml\na: {y: {w: 3}}\nl: [3]\nk: null\n")
    assert read_tree(path).plain() == {
        "a": {"x": 1, "y": {"z": 2, "w": 3}},
        "l": [3],
        "k": None,
    }


def test_a_base_is_relative_to_the_file_it_stands_in(write):
    write(text="a: 1\n", name="low.yaml")
    write(text="base: ../low.yaml\nb: 2\n", name="deep/middle.yaml")
    path = write(text="base: deep/middle.yaml\nc: 3\n", name="top.yaml")
    assert read_tree(path).plain() == {"a": 1, "b": 2, "c": 3}


def test_a_base_may_be_a_recipe_that_comes_along(write):
    path = write(text="base: quickstart\nname: mine\nstudent: {size: 2x384}\n")
    recipe = load_recipe(path)
    assert (recipe.name, recipe.student.size) == ("mine", "2x384")
    assert recipe.stages == load_recipe("quickstart").stages


def test_issues_name_the_file_they_stand_in(write, issues):
    write(("epochs: 1", "epocs: 1"), name="low.yaml")
    path = write(text="base: low.yaml\nseed: x\n", name="top.yaml")
    assert issues(path) == [
        "top.yaml:2: seed: found the text 'x', expected a whole number",
        "low.yaml:9: teacher.finetune.epocs: unknown key; did you mean 'epochs'?",
    ]


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("top.yaml", "top.yaml:1: base: bases go round in a circle: top.yaml -> top.yaml"),
        ("nope.yaml", "top.yaml:1: base: no such file: nope.yaml"),
        ("[a]", "top.yaml:1: base: expected the path of a recipe, relative to this file"),
        ("''", "top.yaml:1: base: expected the path of a recipe, relative to this file"),
        ('"a\\0b.yaml"', "top.yaml:1: base: 'a?b.yaml' is not a path"),
    ],
)
def test_bases_that_cannot_be(write, issues, base, said):
    assert issues(write(text=f"base: {base}\n", name="top.yaml")) == [said]


def test_settings_over_a_base_reach_into_lists(write):
    write()
    path = write(
        text="base: small.yaml\ndata: {max_length: 32}\nset:\n  stages.prediction.epochs: 7\n"
        "  stages.intermediate.objectives.attention: null\n",
        name="top.yaml",
    )
    recipe = load_recipe(path)
    assert recipe.data.max_length == 32
    assert recipe.stages[1].epochs == 7
    assert [o.kind for o in recipe.stages[0].objectives] == ["hidden"]
    # And what stands above a base with settings still wins.
    above = write(text="base: top.yaml\nset: {stages.prediction.epochs: 8}\n", name="more.yaml")
    assert load_recipe(above).stages[1].epochs == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "base: small.yaml\nset:\n  stages.predict.epochs: 7\n",
            "top.yaml:3: stages.predict.epochs: nothing here is called 'predict'; did you mean "
            "'prediction'? there are: intermediate, prediction, export, evaluate",
        ),
        (
            "base: small.yaml\nset:\n  stages.prediction.epochs: many\n",
            "top.yaml:3: stages[1].epochs: found the text 'many', expected a whole number",
        ),
        (
            "base: small.yaml\nset: [a]\n",
            "top.yaml:2: set: expected dotted keys and values, such as stages.prediction.epochs: 1",
        ),
        (
            "set: {seed: 1}\nrecipe: 1\n",
            "top.yaml:1: set: lays settings over a base, and there is none; write them where they "
            "belong",
        ),
    ],
)
def test_settings_that_cannot_be(write, issues, text, said):
    write()
    assert issues(write(text=text, name="top.yaml")) == [said]
