"""The bundle's card says of the code in its folder what is true of the student."""

from __future__ import annotations

import json

import pytest

from distill.recipe.loader import load_recipe
from distill.stages.card import write_card


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
    assert ("pruned.py" in card) == pruned
    assert ("trust_remote_code=True" in card) == pruned
