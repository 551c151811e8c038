import pytest
import yaml

from distill.recipe.loader import load_recipe

NER = """\
recipe: 1
name: ner
task: {kind: ner}
data: {source: files, train: a.conll, max_length: 64}
teacher: {model: minilm-l6, finetune: {epochs: 1}}
student: {size: 3x384}
stages:
  - kind: distill
    objectives: [{kind: logits}]
"""


def test_a_ner_recipe_has_no_issues(write, tmp_path):
    recipe = load_recipe(write(text=NER))
    # Nor has it when every key is written down, as in a run folder.
    path = tmp_path / "resolved.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), "utf-8")
    assert load_recipe(path) == recipe


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("task.stride=62", "task.stride: windows of 64 tokens (2 of them special) cannot share 62"),
        ("task.labels=[O, B-x, E-x]", "'E-x' is no tag of the scheme bio (B-TYPE, I-TYPE or O)"),
        ("data.columns.text=words", "task.kind: ner has the columns tokens, tags, id"),
        ("data.columns.tags=tokens", "'tokens' is the column of 'tokens' too"),
        ("data={source: builtin, path: docstrings}", "the built-in data have no entities"),
        ("task.metric=accuracy", "task.metric"),
    ],
)
def test_what_does_not_go_with_entities(write, issues, setting, said):
    found = issues(write(text=NER), setting)
    assert any(said in issue for issue in found), found


def test_words_are_not_replaced_under_tags(write, issues):
    text = NER.replace("stages:\n", "stages:\n  - {kind: augment}\n")
    found = issues(write(text=text))
    assert any("tags no longer stand where they did" in issue for issue in found), found
