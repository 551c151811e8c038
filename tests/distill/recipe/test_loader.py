from typing import get_args

import pytest

from distill.recipe import catalog, schema
from distill.recipe.loader import load_recipe, resolved_yaml
from distill.recipe.study import is_study
from distill.system.errors import RecipeError

#: The kinds of objectives, in the order in which messages name them.
OBJECTIVES = sorted(
    get_args(part.model_fields["kind"].annotation)[0]
    for part in get_args(get_args(schema.Objective)[0])
)


@pytest.mark.parametrize("name", [n for n in catalog.names() if not is_study(n)])
def test_every_recipe_that_comes_along_is_valid_and_survives_its_own_yaml(name, rewritten):
    recipe = load_recipe(name)
    assert recipe.name == name.replace("/", "-")
    assert recipe.description
    assert rewritten(recipe) == recipe


def test_resolved_yaml_quotes_what_would_be_read_as_something_else(write, rewritten):
    labels = ["5e-5", "no", "null", "1", "true", "é: #", "1:30", "~"]
    path = write(("[no, yes]", str(labels)), ("minilm-l6", "'1e3'"))
    recipe = load_recipe(path)
    assert recipe.task.labels == labels
    assert rewritten(recipe) == recipe


def test_null_that_differs_from_the_default_is_kept(write, rewritten):
    path = write(("- {kind: export}", "- {kind: prune, recover: null}"))
    recipe = load_recipe(path)
    text = resolved_yaml(recipe)
    assert "recover: null" in text
    assert "revision" not in text
    assert rewritten(recipe) == recipe


def test_integers_pass_for_numbers_and_nothing_else_is_converted(write, issues):
    assert load_recipe(write(("weight: 2", "weight: 3"))).stages[0].objectives[1].weight == 3
    for value, found in [
        ("true", "true"),
        ("'2'", "the text '2'"),
        ("[2]", "a list of 1 item"),
        ("[]", "an empty list"),
        ("null", "nothing (null)"),
    ]:
        path = write(("weight: 2", f"weight: {value}"))
        told = issues(path)
        assert told[0].startswith(
            f"small.yaml:14: stages[0].objectives[1].weight: found {found}, expected a number"
        )


def test_every_issue_at_once_each_with_line_and_suggestion(write, issues):
    path = write(
        ("kind: classification", "kind: classification, metric: acuracy"),
        ("  path: docstrings", "  path: docstrings\n  max_len: 3"),
        ("epochs: 1,", "epochs: '1', epochs_: 1,"),
        ("name: prediction", "name: Predict ion\n    epocs: 3"),
        ("{kind: logits}", "{kind: logit}"),
        ("- {kind: export}", "- {kind: exprot}\n  - export\n  - {name: x}"),
        ("labels: [no, yes]", "labels: [no, no]"),
    )
    assert issues(path) == [
        "small.yaml:3: task.metric: found the text 'acuracy', expected 'accuracy', 'f1', "
        "'macro_f1' or 'mcc'; did you mean 'accuracy'?",
        "small.yaml:3: task.labels: a label stands in the list twice",
        "small.yaml:7: data.max_len: unknown key; did you mean 'max_length'?",
        "small.yaml:10: teacher.finetune.epochs: found the text '1', expected a whole number; "
        "take the quotes away",
        "small.yaml:10: teacher.finetune.epochs_: unknown key; did you mean 'epochs'?",
        "small.yaml:17: stages[1].name: found the text 'Predict ion', expected lower-case letters, "
        "digits, '-', '_' and '.', beginning with a letter or digit",
        "small.yaml:19: stages[1].objectives[0].kind: unknown kind 'logit'; there are: "
        f"{', '.join(OBJECTIVES)}; did you mean 'logits'?",
        "small.yaml:18: stages[1].epocs: unknown key; did you mean 'epochs'?",
        "small.yaml:20: stages[2].kind: unknown kind 'exprot'; there are: augment, distill, "
        "evaluate, export, pretrain, prune, quantize; did you mean 'export'?",
        "small.yaml:21: stages[3]: found the text 'export', expected keys and values, "
        "such as {kind: augment}",
        "small.yaml:22: stages[4].kind: missing; one of: augment, distill, evaluate, export, "
        "pretrain, prune, quantize",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("layer_map: x", "layer_map: unform"),
            "'uniform', 'first', 'last', 'skip' or 'search' or a list",
        ),
        (("layer_map: x", "layer_map: [[1, 2], [0, 3]]"), "layer_map[1][0]: found the number 0"),
        (("layer_map: x", "layer_map: [[1]]"), "found a list of 1 item, expected at least 2 items"),
        (("layer_map: x", "layer_map: {a: 1}"), "layer_map: found keys and values, expected 'uni"),
        (("layer_map: x", "layer_map: [a]"), "layer_map[0]: found the text 'a', expected a list"),
        (("layer_map: x", "layer_map: null"), "layer_map: found nothing (null)"),
        (("layer_map: x", "objectives: []"), "the key occurs twice"),
    ],
)
def test_one_issue_for_a_value_that_may_be_two_things(write, issues, change, said):
    told = issues(write(("name: prediction", f"name: prediction\n    {change[1]}")))
    assert len(told) == 1
    assert said in told[0]


def test_missing_sections_are_all_named(write, issues):
    told = issues(write(text="recipe: 1\nname: a\n"))
    assert " ".join(line.split(": ")[1] for line in told) == "task data teacher student stages"
    assert told[0] == "small.yaml:1: task: missing; What is predicted."


def test_unknown_keys_with_nothing_near_list_what_there_is(write, issues):
    told = issues(write(("size: 3x384", "size: 3x384, zzz: 1")))
    known = "kind, model, size, init, init_layers"
    assert told == [f"small.yaml:10: student.zzz: unknown key; there are: {known}"]


def test_text_in_messages_cannot_break_the_line(write, issues):
    path = write(("size: 3x384", '"si\\nze\\e[31m": 1, size: "a\\nb\\0\\u2028"'))
    told = issues(path)
    assert len(told) == 1
    assert "si ze?[31m: unknown key" in told[0]


def test_names_are_recipes_and_not_their_parts():
    names = catalog.names()
    assert {"quickstart", "sst2", "mrpc"} <= set(names)
    assert names == sorted(names)
    assert not any("_base" in name for name in names)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("quikstart", "quikstart: no recipe of this name; did you mean 'quickstart'?"),
        ("zzz", "zzz: no recipe of this name; `distill ls` lists them"),
        ("_base/glue", "no recipe of this name"),
        ("", "'': no recipe"),
        ("a\0b", "a?b: no recipe"),
        ("x" * 5000, "no recipe of this name"),
    ],
)
def test_unknown_names(name, said):
    with pytest.raises(RecipeError) as caught:
        catalog.find(name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
