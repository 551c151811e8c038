"""What a recipe for sentence vectors lacks or has no use for."""

import pytest

from distill.recipe.loader import load_recipe
from distill.system.errors import RecipeError


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("data.columns.text_pair=null", "data.columns.text_pair: missing; vectors are scored on"),
        ("teacher.more=[{model: other}]", "vectors of several teachers"),
        ("teacher.labels=[a, b]", "vectors have no labels"),
        ("stages.+vectors={kind: augment, copies: 1}", "'augment' makes examples for labels"),
        ("stages.vectors.objectives=[{kind: logits}]", "logits compares labels, which vectors"),
        ("task.whitening=400", "400 dimensions of vectors that have 384"),
        ("task.keep_projection=1", "task.keep_projection: "),
    ],
)
def test_one_issue_each(setting, said):
    with pytest.raises(RecipeError) as caught:
        load_recipe("stsb-vectors", setting)
    assert said in str(caught.value)


def test_whitening_needs_a_bundle():
    left_out = [f"stages.{name}=null" for name in ("quantize", "export", "evaluate")]
    with pytest.raises(RecipeError, match="the bundle holds it"):
        load_recipe("stsb-vectors", "task.whitening=8", *left_out)
    assert load_recipe("stsb-vectors", "task.whitening=8").task.kind == "vectors"


def test_whitening_goes_by_the_width_that_is_left():
    narrow = "stages.+quantize={kind: prune, name: narrow, hidden: 0.5}"
    with pytest.raises(RecipeError, match="256 dimensions of vectors that have 192"):
        load_recipe("stsb-vectors", narrow, "task.whitening=256")


def test_a_projection_that_is_kept():
    keep = "task.keep_projection=true"
    assert load_recipe("stsb-vectors", keep, "task.matryoshka=[400]").task.keep_projection
    for settings, said in (
        (["task.whitening=8"], "whitening turns vectors out of the teacher's space"),
        (["stages.vectors.objectives=[{kind: similarity}]"], "only the objective `vector` brings"),
        (["student={kind: static, dim: 384}", "stages.intermediate=null"], "make student.dim as"),
    ):
        with pytest.raises(RecipeError, match=r"task\.keep_projection: ") as caught:
            load_recipe("stsb-vectors", keep, *settings)
        assert said in str(caught.value)
