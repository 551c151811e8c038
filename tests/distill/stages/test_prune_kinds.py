"""Every way to prune, on every kind of task: what comes out is smaller, saved, and the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
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
from distill.data.batches import make_loader
from distill.evaluation.cost import parameters
from distill.export.onnx import export_onnx
from distill.pruning.masks import layer_sizes
from distill.runtime import load
from distill.runtime.session import OnnxSession
from distill.stages.context import StageContext
from distill.stages.distill import output_loss, teacher_logits
from distill.stages.export import export_stage
from distill.stages.prune import bench_of, prune_stage
from distill.tasks import task_class
from students.anatomy import INPUTS
from students.heads import head_of, logits_of
from teachers.cache import look_up
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
    "embeddings": {"rank": 8},
}


def pruned(of_kind: Any, kind: str, name: str, **more: Any) -> Any:
    """The context of a prune stage that is done, and its facts."""
    settings: dict[str, Any] = {"kind": "prune", "method": name.rpartition("-")[2]}
    settings |= {} if name == "vocabulary" else {"recover": None}
    settings |= {} if name in ("vocabulary", "embeddings") else {"batch_size": 8}
    context = of_kind(kind, {**settings, **METHODS[name], **more})
    return context, prune_stage(context.stage.config, context).facts


def real_batch(context: Any) -> dict[str, torch.Tensor]:
    """Some training examples as the student reads them that the stage left."""
    workspace = context.workspace_of(context.stage.index)
    rows = workspace.tokenized(workspace.data.train)
    batch = next(iter(make_loader(rows, 4, seed=0, shuffle=False)))
    return {name: batch[name] for name in INPUTS}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(KINDS[(i + turn) % len(KINDS)], name) for turn in (0, 3) for i, name in enumerate(METHODS)],
)
def test_every_method_leaves_a_smaller_student(of_kind, kind: str, name: str) -> None:
    context, facts = pruned(of_kind, kind, name)
    before, after = context.load_student(), load_model(context.model_folder)
    head = task_class(kind).head
    assert head_of(after) == head
    assert parameters(after) < parameters(before)
    assert [facts["heads"], facts["ffn"]] == list(layer_sizes(after))
    assert np.isfinite(facts["score"])
    for unit, part in METHODS[name].get("budget", {}).items():
        budget = facts["budget"]
        assert (budget["kind"], budget["asked"]) == (unit, part)
        assert 0.7 * part < budget["reached"] <= part
        assert f"at most {part:.1%} asked" in facts["notes"][1]
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


def bundle_of(context: Any, number: int) -> Any:
    """What the runtime makes of the student as the stage of this number finds it."""
    stage = replace(context.stages[number], config=context.stages[3].config)
    shutil.rmtree(context.run.stage(stage), ignore_errors=True)
    context.run.stage(stage).mkdir()
    export_stage(stage.config, replace(context, stage=stage))
    return load(context.run.bundle, format="onnx", threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ner", "qa"])
def test_a_trimmed_vocabulary_finds_the_same_characters(of_kind, sentences, kind: str) -> None:
    context, facts = pruned(of_kind, kind, "vocabulary")
    assert facts["vocabulary"]["after"] < facts["vocabulary"]["before"]
    before, after = context.workspace.tokenizer, context.workspace_of(context.stage.index).tokenizer
    split = context.workspace.data.train
    texts = [*split.texts, *(split.pairs or ())]
    rare = "A marvellously TALL story: zebras, (again) 42 times!"  # spelled out where pieces went
    for text in [*texts, rare]:
        ours, theirs = (
            one(text, return_offsets_mapping=True, add_special_tokens=False)
            for one in (after, before)
        )
        pieces = after.convert_ids_to_tokens(ours["input_ids"])
        for piece, (start, end) in zip(pieces, ours["offset_mapping"], strict=True):
            assert piece.removeprefix("##") == text[start:end].lower()
        if text != rare:
            assert ours["offset_mapping"] == theirs["offset_mapping"]
    (context.folder / "stage.json").write_text('{"score": 1.0}')
    trimmed = bundle_of(context, 3)
    asked = (split.texts[:8], split.pairs[:8] if split.pairs else None)
    found = trimmed.predict(*asked)
    rare_found = trimmed.predict([rare], ["the film"] if split.pairs else None)
    whole = bundle_of(context, 2)
    read = json.loads((context.run.bundle / "tokenizer.json").read_text("utf-8"))
    assert len(read["model"]["vocab"]) == facts["vocabulary"]["before"]
    for one, other in zip(found, whole.predict(*asked), strict=True):
        assert same(one) == same(other)
    for entity in rare_found[0].get("entities", []):
        assert rare[entity["start"] : entity["end"]] == entity["text"]


def same(answer: dict[str, Any]) -> Any:
    """Where an answer stands, without its probabilities."""
    if "entities" in answer:
        return [(one["type"], one["start"], one["end"]) for one in answer["entities"]]
    return answer["answer"], answer["start"], answer["end"]


GATED = ("fisher", "depth", "vocabulary", "width-taylor")


def scored_by_size(monkeypatch: Any, least: float) -> None:
    """Students with fewer than this share of the parameters score 0, others 1."""
    whole: list[int] = []

    def score(self: Any, model: Any, *_: Any, **__: Any) -> float:
        whole.append(parameters(model))  # the first one asked for is the student before
        return float(parameters(model) >= least * whole[0])

    monkeypatch.setattr(StageContext, "validation_score", score)


@pytest.mark.parametrize(
    ("kind", "name"), list(zip(("ner", "qa", "vectors", "qa"), GATED, strict=True))
)
def test_where_nothing_passes_the_student_is_saved_as_it_was(
    of_kind, monkeypatch, kind: str, name: str
) -> None:
    scored_by_size(monkeypatch, 1.0)
    context, facts = pruned(of_kind, kind, name, max_drop=0.5, tries=2)
    before, after = context.load_student(), load_model(context.model_folder)
    assert type(after) is type(before)
    for (key, here), there in zip(
        before.state_dict().items(), after.state_dict().values(), strict=True
    ):
        assert torch.equal(here, there), key
    # Half a layer is none, and an eighth of 32 dimensions is nearer to none of 8 than to 8.
    tries = 1 if name in ("depth", "width-taylor") else 2
    assert [tried["drop"] for tried in facts["tries"]] == [1.0] * tries
    several = "1 try lost 1.0000" if tries == 1 else "each of 2 tries lost 1.0000 or more"
    assert facts["notes"][-1].startswith(f"not pruned: {several}")


@pytest.mark.parametrize(
    ("kind", "name"), [("ner", "fisher"), ("qa", "vocabulary"), ("vectors", "width-taylor")]
)
def test_less_is_removed_where_that_passes(of_kind, monkeypatch, kind: str, name: str) -> None:
    least = {"fisher": 0.7, "width-taylor": 0.7, "vocabulary": 0.92}[name]
    scored_by_size(monkeypatch, least)
    wider = {"hidden": 0.5} if name == "width-taylor" else {}
    context, facts = pruned(of_kind, kind, name, max_drop=0.5, tries=4, **wider)
    assert facts["tries"][-1]["drop"] == 0.0
    assert len(facts["tries"]) > 1
    assert facts["notes"][-1].startswith("score +0.0000, within max_drop 0.5, after removing only")
    before, after = context.load_student(), load_model(context.model_folder)
    assert least * parameters(before) <= parameters(after) < parameters(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("classification", "width-fisher"),
        ("ner", "fisher"),
        ("qa", "vocabulary"),
        ("vectors", "depth"),
    ],
)
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


@pytest.mark.parametrize("kind", ["ner", "qa"])
def test_a_teachers_logits_are_carried_to_words_that_are_spelled(of_kind, kind: str) -> None:
    context, _ = pruned(of_kind, kind, "vocabulary", min_count=12)
    after = replace(context, stage=context.stages[3])
    workspace = after.workspace
    ours = workspace.tokenized(workspace.data.train)
    assert ours.lengths.sum() > context.workspace.tokenized(workspace.data.train).lengths.sum()
    teacher = after.load_teacher()
    logits = teacher_logits(after, teacher)
    assert np.array_equal(logits.lengths, ours.lengths)
    batch = next(bench_of(after, after.folder).batches(4))
    found = workspace.task.comparable(look_up(logits, batch), batch)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(len(found)), atol=1e-4, rtol=0)
    assert torch.isfinite(output_loss(workspace.task, logits)(after.load_student(), batch))
