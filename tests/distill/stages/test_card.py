"""The bundle's card says of the code in its folder what is true of the student."""

from __future__ import annotations

import json
from types import SimpleNamespace

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
    (bundle / "distill.json").write_text(json.dumps({"formats": {"transformers": {}}}))
    data = SimpleNamespace(labels=["a", "b"], train=SimpleNamespace(paired=False))
    context = SimpleNamespace(
        run=SimpleNamespace(bundle=bundle),
        workspace=SimpleNamespace(data=data),
        recipe=load_recipe("quickstart"),
        trained_student_folder=lambda: student,
    )
    write_card(context, None)
    card = (bundle / "README.md").read_text("utf-8")
    assert ("pruned.py" in card) == pruned
    assert ("trust_remote_code=True" in card) == pruned
