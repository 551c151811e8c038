"""Weights of labels and label smoothing in a recipe: where they fit, and where they do nothing."""

import pytest

from distill.recipe.loader import load_recipe

AS_IT_IS = ["teacher.finetune=null", "baseline=false"]
HARD = "stages.prediction.objectives=[{kind: logits, hard_weight: 0.5}]"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("task.class_weights={yess: 2}", "task.class_weights.yess: no label; labels are no, yes"),
        ("task.class_weights={yes: 0}", "task.class_weights.yes: "),
        ("task.class_weights={}", "task.class_weights: "),
        ("task.class_weights=even", "task.class_weights: "),
        ("task.label_smoothing=1", "task.label_smoothing: "),
        ("task.positive_weights=balanced", "task.positive_weights: only for task.kind: multi_lab"),
        (
            "task={kind: regression, class_weights: balanced}",
            "task.class_weights: only for task.kind: classification",
        ),
        (
            "task={kind: multi_label, label_smoothing: 0.1}",
            "task.label_smoothing: only for task.kind: classification; leave it out",
        ),
        (
            "task={kind: multi_label, labels: [a, b], positive_weights: {c: 2}}",
            "task.positive_weights.c: no label; labels are a, b",
        ),
    ],
)
def test_what_does_not_fit(write, issues, override, said):
    told = issues(write(), override)
    assert any(said in line for line in told), told


@pytest.mark.parametrize("setting", ["task.class_weights=balanced", "task.label_smoothing=0.1"])
def test_where_no_label_is_looked_at_they_do_nothing(write, issues, setting):
    (told,) = issues(write(), setting, *AS_IT_IS)
    key = setting.partition("=")[0]
    assert f"{key}: does nothing: no teacher is fine-tuned, there is no baseline" in told
    load_recipe(write(), setting, *AS_IT_IS, HARD)
    load_recipe(write(), setting, AS_IT_IS[0])
