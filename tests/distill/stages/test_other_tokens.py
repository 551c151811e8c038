"""A tagger and an answerer learn from a teacher with another tokenizer, from recipe to bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import task_kinds as kinds
import torch
import yaml
from tiny_tokenizers import trained

from distill.data.batches import make_loader
from distill.export.transformers_folder import save_transformers
from distill.pipeline.runner import run
from distill.recipe.loader import load_recipe
from distill.runtime import load
from distill.stages.distill import output_loss
from distill.stages.workspace import Workspace
from teachers.cache import RaggedLogits, compute_logits
from teachers.load import load_model

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["ner", "qa"])
def test_a_student_comes_nearer_to_a_teacher_with_other_tokens(
    kind: str, tmp_path: Path, tiny_bert: Any, sentences: Any
) -> None:
    tokenizer = trained("bytes", sentences[0], model_max_length=64)
    teacher = tmp_path / "teacher"
    save_transformers(kinds.make_model(kind, len(tokenizer)), tokenizer, teacher)
    stages = [
        {"kind": "quantize", "method": "dynamic", "max_drop": 1.0},
        {"kind": "export", "max_drop": 1.0},
        {"kind": "evaluate", "batch_sizes": [1], "lengths": [8], "repeats": 2, "threads": 1},
    ]
    data = kinds.write_rows(kind, tmp_path, *sentences) | {"max_length": 40}
    path = kinds.recipe_of(kind, tmp_path, teacher, stages, data)
    recipe = yaml.safe_load(path.read_text("utf-8"))
    training = {"epochs": 8, "batch_size": 8, "lr": 3e-3}
    recipe["teacher"] = {"model": str(teacher)}
    recipe["student"] = {"size": "1x32/2/64", "init": str(tiny_bert(layers=1))}
    recipe["baseline"] = training
    recipe["stages"][0] |= training
    path.write_text(yaml.safe_dump(recipe), "utf-8")

    loaded = load_recipe(path)
    results = run(loaded, tmp_path / "run")
    names = [row["name"] for row in results["models"]]
    assert names == ["linear", "teacher", "baseline", "distill", "onnx", "onnx-int8"]
    model = load(tmp_path / "run" / "bundle")
    asked = (["what was it?"], ["it is very good"]) if kind == "qa" else (["the good film"],)
    assert set(model.predict(*asked)[0]) >= ({"answer"} if kind == "qa" else {"entities"})

    workspace = Workspace(loaded)
    validation = workspace.data.validation
    theirs = workspace.tokenized(validation, loaded.teacher)
    ours = workspace.tokenized(validation)
    said = compute_logits(load_model(tmp_path / "run" / "01-teacher" / "model"), theirs)
    assert isinstance(said, RaggedLogits)
    assert said.lengths.sum() > ours.lengths.sum()
    carried = RaggedLogits(workspace.task.carried(said.flat, theirs, ours), ours.lengths)
    loss_of = output_loss(workspace.task, carried)
    [batch] = make_loader(ours, len(ours), seed=0, shuffle=False)
    with torch.inference_mode():
        far, near = (
            float(loss_of(load_model(tmp_path / "run" / stage / "model"), batch))
            for stage in ("02-baseline", "03-distill")
        )
    assert near < far - 0.1
