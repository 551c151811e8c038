"""Issues of recipes that answer questions."""

import pytest

from distill.recipe.loader import load_recipe, resolved_yaml
from distill.tasks.qa.config import QuestionTask
from distill.text.questions import Limits

QA = (
    ("task: {kind: classification, labels: [no, yes]}", "task: {kind: qa}"),
    ("  source: builtin\n  path: docstrings", "  source: files\n  train: train.json"),
)


def test_a_resolved_recipe_is_right_too(write):
    recipe = load_recipe(write(*QA))
    assert load_recipe(write(text=resolved_yaml(recipe), name="again.yaml")) == recipe


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([QA[0]], "small.yaml:5: data.source: the built-in data have no questions"),
        (
            [*QA, ("{kind: qa}", "{kind: qa, threshold: 1.0}")],
            "task.threshold: only with no_answer",
        ),
        (
            [*QA, ("train.json", "train.json\n  columns: {text: q}")],
            "data.columns.text: task.kind: qa has the columns question, context, answers, id",
        ),
        (
            [*QA, ("train.json", "train.json\n  max_length: 64"), ("qa}", "qa, stride: 40}")],
            "data.max_length: 64 tokens leave no room for the text beside 32 of a question, 40 sh",
        ),
        (
            [*QA, ("stages:", "stages:\n  - {kind: augment}")],
            "stages[0].kind: 'augment' replaces words, after which answers no longer stand where",
        ),
        (
            [*QA, ("[{kind: logits}]", "[{kind: standardized}]")],
            "standardized compares the same classes in every row, and texts differ in length",
        ),
        (
            [("docstrings", "docstrings\n  columns: {answers: a}")],
            "data.columns.answers: only for task.kind: qa; leave it out",
        ),
    ],
)
def test_what_does_not_go_together(write, issues, changes, said):
    found = issues(write(*changes))
    assert any(said in line for line in found), found


@pytest.mark.parametrize("max_length", [32, 64, 128, 384, 512])
def test_windows_are_as_long_as_the_runtime_makes_them(max_length):
    limits = Limits.of(max_length)
    found = QuestionTask(kind="qa").window_lengths(max_length)
    assert found == (limits.stride, limits.max_question)
    found = QuestionTask(kind="qa", stride=3, max_question_length=5).window_lengths(max_length)
    assert found == (3, 5)
