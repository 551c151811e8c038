"""Every way to prune, on every kind of task: what comes out is smaller, saved, and the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

import students  # noqa: F401  (the Auto classes learn of pruned BERTs)
from distill.compression.masks import layer_sizes
from distill.evaluation.cost import parameters
from distill.export.onnx import export_onnx
from distill.runtime.session import OnnxSession
from distill.stages.prune import prune_stage
from students.heads import head_of, logits_of
from teachers.load import load_model

AUTO: dict[str, Any] = {
    "classification": AutoModelForSequenceClassification,
    "tokens": AutoModelForTokenClassification,
    "spans": AutoModelForQuestionAnswering,
    "vectors": AutoModel,
}
KINDS = ("classification", "multi_label", "regression", "ner", "qa", "vectors")
METHODS: dict[str, dict[str, Any]] = {
    "fisher": {"samples": 16, "budget": {"macs": 0.5}},
    "taylor": {"score_steps": 2, "budget": {"parameters": 0.5}},
    "l1": {"heads": 0.5, "ffn": 0.5, "uniform": False},
    "movement": {"score_steps": 4, "heads": 0.25, "ffn": 0.5},
    "depth": {"layers": 1, "score_steps": 2},
    "vocabulary": {},
    "width-taylor": {"score_steps": 2, "hidden": 0.25},
    "width-fisher": {"samples": 16, "hidden": 0.25, "heads": 0.25},
}


def pruned(of_kind: Any, kind: str, name: str, **more: Any) -> Any:
    """The context of a prune stage that is done, and its facts."""
    settings = {"method": name.rpartition("-")[2], "batch_size": 8, "recover": None}
    context = of_kind(kind, {"kind": "prune", **settings, **METHODS[name], **more})
    return context, prune_stage(context.stage.config, context).facts


def real_batch(context: Any) -> dict[str, torch.Tensor]:
    """Some training rows as the student reads them that the stage left."""
    workspace = context.workspace_of(context.stage.index)
    rows = workspace.tokenized(workspace.data.train)
    chosen = [rows[index] for index in range(4)]
    longest = max(len(row["input_ids"]) for row in chosen)
    found = {name: torch.zeros(4, longest, dtype=torch.int64) for name in ("ids", "mask", "types")}
    for place, row in enumerate(chosen):
        size = len(row["input_ids"])
        found["ids"][place, :size] = torch.from_numpy(np.array(row["input_ids"], dtype=np.int64))
        found["types"][place, :size] = torch.from_numpy(
            np.array(row["token_type_ids"], dtype=np.int64)
        )
        found["mask"][place, :size] = 1
    names = {"input_ids": "ids", "attention_mask": "mask", "token_type_ids": "types"}
    return {name: found[short] for name, short in names.items()}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_method_leaves_a_smaller_student(of_kind, kinds, kind: str, name: str) -> None:
    context, facts = pruned(of_kind, kind, name)
    before, after = context.load_student(), load_model(context.model_folder)
    head = kinds.HEADS[kind]
    assert head_of(after) == head
    assert parameters(after) < parameters(before)
    assert [facts["heads"], facts["ffn"]] == list(layer_sizes(after))
    assert np.isfinite(facts["score"])
    inputs = real_batch(context)
    with torch.no_grad():
        expected = logits_of(after, inputs)
        loaded = AUTO[head].from_pretrained(context.model_folder).eval()
        torch.testing.assert_close(logits_of(loaded, inputs), expected, atol=1e-6, rtol=0)
    assert type(loaded) is type(after)
    if name == "vocabulary":
        again = logits_of(before, as_before(context, inputs))
        torch.testing.assert_close(expected, again.detach(), atol=1e-6, rtol=0)


def as_before(context: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same pieces by the ids that they had before the vocabulary was trimmed."""
    after, before = context.workspace_of(context.stage.index).tokenizer, context.workspace.tokenizer
    ids = inputs["input_ids"]
    pieces = [after.convert_ids_to_tokens(row) for row in ids.tolist()]
    old = [before.convert_tokens_to_ids(row) for row in pieces]
    return {**inputs, "input_ids": torch.tensor(old)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fisher", "depth", "vocabulary", "width-fisher"])
@pytest.mark.parametrize("kind", ["classification", "ner", "qa", "vectors"])
def test_what_is_left_is_exported(of_kind, tmp_path, kind: str, name: str) -> None:
    context, _ = pruned(of_kind, kind, name)
    model, inputs = load_model(context.model_folder), real_batch(context)
    export_onnx(model, tmp_path / "model.onnx")
    session = OnnxSession(tmp_path / "model.onnx", threads=1)
    found = torch.from_numpy(session.run(*(one.numpy() for one in inputs.values())))
    with torch.no_grad():
        expected = logits_of(model, inputs)
    real = inputs["attention_mask"].bool()
    if found.ndim == 3:
        found, expected = found[real], expected[real]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
