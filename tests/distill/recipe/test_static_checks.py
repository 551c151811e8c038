import pytest
import yaml

from distill.pipeline.plan import make_plan
from distill.recipe.loader import load_recipe, resolved_yaml
from distill.system.errors import RecipeError

RECIPE = {
    "recipe": 1,
    "name": "static",
    "task": {"kind": "classification", "labels": ["a", "b", "c"]},
    "data": {"source": "builtin", "path": "rotten_tomatoes"},
    "teacher": {"model": "minilm-l6", "finetune": {"epochs": 1}},
    "student": {"kind": "static", "dim": 64},
    "stages": [
        {"kind": "distill", "objectives": [{"kind": "logits"}]},
        {"kind": "quantize"},
        {"kind": "export"},
        {"kind": "evaluate"},
    ],
}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "static.yaml"
    file.write_text(yaml.safe_dump(RECIPE, sort_keys=False), "utf-8")
    return file


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("student.dim=0", "student.dim: found the number 0, expected at least 1"),
        ("student.dim=385", "student.dim: 385 is more than the teacher's 384; write less"),
        ("student.size=3x384", "student.size: only for student.kind: encoder; leave it out"),
        ("student.kind=statik", "unknown kind 'statik'; there are: encoder, static; did you mean"),
        ("student={size: 3x384, dim: 64}", "student.dim: only for student.kind: static"),
        (
            "stages.distill.objectives=[{kind: hidden}]",
            "stages.distill.objectives[0]: hidden: the student is static and has no layers; works "
            "here: logits, decoupled, standardized",
        ),
        ("stages.distill.layer_decay=0.9", "layer_decay: a static student has no layers"),
        ("baseline={layer_decay: 0.9}", "baseline.layer_decay: a static student has no layers"),
        ("stages.+quantize={kind: prune}", "method: taylor prunes encoders, and a static"),
        ("stages.quantize.method=dynamic", "quantize.method: dynamic is for encoders; write table"),
        ("stages.quantize.weight_bits=8", "weight_bits: a table has no products in int8"),
        ("stages.export.formats=[onnx]", "'onnx' is for encoders; a static student is exported"),
        ("data.columns.text_pair=source", "text_pair: a static student reads single texts"),
        ("task={kind: ner}", "student.kind: a static student gives one output for a text, and"),
        ("task={kind: ranking}", "static student reads single texts, and task.kind: ranking pairs"),
        ("task={kind: text}", "student.kind: a static student gives one output for a text, and"),
    ],
)
def test_what_a_static_student_cannot_have(path, override, said):
    with pytest.raises(RecipeError) as error:
        load_recipe(path, override)
    assert said in "\n".join(map(str, error.value.issues))


def test_its_stages_are_by_default_what_it_can_have(path, tmp_path):
    recipe = load_recipe(path)
    assert [getattr(stage, "method", None) for stage in recipe.stages][1] == "table"
    assert getattr(recipe.stages[2], "formats") == ["numpy"]  # noqa: B009
    again = tmp_path / "resolved.yaml"
    again.write_text(resolved_yaml(recipe), "utf-8")
    assert load_recipe(again) == recipe


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stages.quantize.method=table", "table is for student.kind: static; write static or"),
        ("stages.export.formats=[numpy]", "'numpy' is for student.kind: static; write onnx"),
    ],
)
def test_what_an_encoder_cannot_have(path, override, said):
    encoder = "student={size: 3x384}"
    assert load_recipe(path, encoder).student.kind == "encoder"
    with pytest.raises(RecipeError, match=said):
        load_recipe(path, encoder, override)


def test_vectors_have_no_head_and_are_means(path):
    vectors = (
        "task={kind: vectors}",
        "data={source: files, train: a.jsonl, columns: {text_pair: b}}",
        "stages.distill.objectives=[{kind: vector}, {kind: similarity}]",
    )
    load_recipe(path, *vectors)
    with pytest.raises(RecipeError, match="sentence vectors have no head"):
        load_recipe(path, *vectors, "student.head_size=8")
    with pytest.raises(RecipeError, match="the mean of its tokens'; write mean"):
        load_recipe(path, *vectors, "task.pooling=cls")
    with pytest.raises(RecipeError, match="65 dimensions of vectors that have 64"):
        load_recipe(path, *vectors, "task.whitening=65")


@pytest.mark.parametrize(("head", "own"), [(None, 65 * 3), (10, 65 * 10 + 11 * 3)])
def test_the_plan_counts_the_table_and_the_head(path, head, own):
    recipe = load_recipe(path, f"student.head_size={'null' if head is None else head}")
    student = make_plan(recipe)["models"][1]
    assert student["parameters"] == 30522 * 64 + own
    assert student["parameters_no_embeddings"] == own
