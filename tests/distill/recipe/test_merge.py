import pytest

from distill.recipe.loader import load_recipe
from distill.recipe.overrides import read_tree


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
