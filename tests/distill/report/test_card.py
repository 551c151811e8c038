"""The model card."""

from __future__ import annotations

import json

import pytest
import yaml
from huggingface_hub import ModelCard

from distill.recipe.loader import load_recipe
from distill.recipe.schema import Recipe
from distill.report.card import make_card, write_card
from distill.report.summary import summary


@pytest.fixture
def recipe(finished_run):
    return Recipe.model_validate(yaml.safe_load((finished_run / "recipe.yaml").read_text()))


def changed(recipe, **parts):
    return Recipe.model_validate(recipe.model_dump() | parts)


ALL = ("transformers", "onnx", "onnx-int8")


def test_its_numbers_are_those_of_the_table(recipe, sample):
    card = make_card(sample(), recipe, labels=["numpy", "torch"], formats=ALL)
    assert summary(sample()) in card
    row = "| onnx-int8 | onnx-int8 | 0.8013 | 96.4 % | 15.1 | 101 | 15.3 | 0.69 | 0.75 | 2,443 |"
    assert row in card
    assert "one of 2 labels: numpy, torch" in card


def test_the_front_matter_is_yaml_with_the_teachers_hub_name(recipe, sample):
    front = yaml.safe_load(make_card(sample(), recipe).split("---\n")[1])
    assert front["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert front["pipeline_tag"] == "text-classification"
    assert front["metrics"] == ["accuracy"]
    assert "model-index" not in yaml.safe_load(make_card(None, recipe).split("---\n")[1])


def test_the_front_matter_holds_the_scores_of_the_final_model(recipe, sample):
    hub = changed(recipe, data={"source": "hub", "path": "glue", "subset": "sst2"})
    data = ModelCard(make_card(sample(), hub)).data
    assert data.datasets == ["glue"]
    assert {one.metric_type: one.metric_value for one in data.eval_results} == {
        name: round(value, 4) for name, value in sample().final.scores.items()
    }
    one = data.eval_results[0]
    said = (one.dataset_type, one.dataset_config, one.dataset_split, one.task_type)
    assert said == ("glue", "sst2", "test", "text-classification")


def test_paths_of_this_machine_stay_here(recipe, sample):
    local = changed(
        recipe,
        teacher={"model": "/home/someone/teacher"},
        student={"size": "3x384", "init": "/home/someone/general"},
        data={"source": "files", "train": "/home/someone/train.tsv"},
    )
    card = make_card(sample(), local)
    assert "/home" not in card
    assert "base_model" not in card
    assert "the files train.tsv" in card


@pytest.mark.parametrize(
    ("model_type", "pruned"), [("bert", False), ("roberta", False), ("pruned_bert", True)]
)
def test_only_a_pruned_student_needs_the_code_of_its_folder(tmp_path, model_type, pruned) -> None:
    student, bundle = tmp_path / "student", tmp_path / "bundle"
    for folder in (student, bundle):
        folder.mkdir()
    (student / "config.json").write_text(json.dumps({"model_type": model_type}))
    about = {"schema": 1, "task": "classification", "labels": ["a", "b"], "pair": False}
    about |= {"max_length": 32, "pad_id": 0, "default": "onnx", "formats": {"transformers": {}}}
    (bundle / "distill.json").write_text(json.dumps(about))
    write_card(bundle, student, load_recipe("quickstart"), None)
    card = (bundle / "README.md").read_text("utf-8")
    assert ("pruned.py" in card) == ("import students" in card) == pruned
    assert ("trust_remote_code=True" in card) == pruned


def test_only_what_the_bundle_holds_is_explained(recipe, sample):
    card = make_card(sample(), recipe, formats=["transformers"])
    assert "distill.runtime" not in card
    assert "int8 results differ" not in card
    assert "from transformers import pipeline" not in make_card(sample(), recipe, formats=["onnx"])


def test_scores_on_validation_rows_are_called_too_good(recipe, sample):
    assert "somewhat too good" in make_card(sample(split="validation"), recipe)
    assert "somewhat too good" not in make_card(sample(), recipe)
