"""The schema that editors check recipe files against says what the loader says."""

import copy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from distill.recipe.schema import Recipe
from distill.recipe.schema.recipe import file_schema
from distill.recipe.yaml_lines import read

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
FILES = [
    path
    for path in sorted(RECIPES.rglob("*.yaml"))
    if not path.name.startswith("_") and path.parent.name not in ("_base", "ablation", "search")
]
WHOLE = read(RECIPES / "quickstart.yaml").plain()


@pytest.fixture(scope="module")
def validator():
    schema = file_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(RECIPES)))
def test_recipes_that_come_along_have_no_issue(validator, path):
    assert [error.message for error in validator.iter_errors(read(path).plain())] == []


def changed(content, *keys, value):
    content = copy.deepcopy(content)
    place: Any = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return content


BASED = {"base": "quickstart", "task": {"metric": "macro_f1"}, "data": {"max_length": 64}}


@pytest.mark.parametrize(
    "content",
    [
        BASED,
        BASED | {"set": {"stages.intermediate.epochs": 2}, "student": {"init": "random"}},
        BASED | {"teacher": {"finetune": {"epochs": 1}}, "baseline": False},
        BASED | {"teacher": {"finetune": None}, "seeds": [1, 2]},
    ],
)
def test_a_file_with_a_base_may_leave_out_what_the_base_says(validator, content):
    assert validator.is_valid(content)


@pytest.mark.parametrize(
    "content",
    [
        changed(WHOLE, "student", "sise", value="3x384"),
        changed(WHOLE, "stages", 0, "epocs", value=3),
        changed(WHOLE, "set", value={"student.size": "3x384"}),  # nothing to lay it over
        {key: value for key, value in WHOLE.items() if key != "teacher"},
        BASED | {"studnet": {"size": "3x384"}},
        BASED | {"data": {"max_lenght": 64}},
        BASED | {"task": {"metric": "macrof1"}},
        BASED | {"teacher": {"finetune": {"epochs": "two"}}},
        BASED | {"stages": [{"kind": "distill", "name": "whole-items"}]},  # no objectives
        BASED | {"base": ""},
    ],
)
def test_issues_are_told(validator, content):
    assert not validator.is_valid(content)


def test_every_key_is_there():
    schema = file_schema()
    definitions = schema["$defs"]
    assert set(definitions["Recipe"]["properties"]) == set(Recipe.model_fields)
    assert set(definitions["RecipeWithBase"]["properties"]) == {*Recipe.model_fields, "base", "set"}
