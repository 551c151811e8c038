"""A prune stage behind a student that gives every row its own label."""

from __future__ import annotations

import json
import logging
from typing import Literal

import pytest
import torch
from transformers import AutoModelForSequenceClassification

import students  # noqa: F401  (the Auto classes learn of pruned BERTs)
from distill.pruning import latency, units
from distill.pruning.masks import layer_sizes
from distill.pruning.methods.units import InRounds
from distill.pruning.search import Scores
from distill.pruning.units import Judged
from distill.recipe.schema import TrainConfig
from distill.stages.prune import prune_stage

SHORT = {"epochs": 1, "batch_size": 32, "lr": 1e-4}


def stage(**settings):
    common = {} if settings.get("method") == "vocabulary" else {"batch_size": 16, "recover": None}
    return {"kind": "prune", **common, **settings}


def run(context):
    return prune_stage(context.stage.config, context)


def model_of(context):
    return AutoModelForSequenceClassification.from_pretrained(context.model_folder)


class LastUnits(InRounds):
    """A method from outside of the package: the last heads and neurons go."""

    method: Literal["last"]

    def judge(self, student, bench):
        sizes = layer_sizes(student)
        scores = ([torch.arange(n, 0, -1.0) for n in part] for part in sizes)
        return Judged(student, Scores(*scores))


def test_a_method_is_one_class(prepared):
    context = prepared(stage=stage(heads=0.5, ffn=0.5))
    settings = {"schedule": "linear", "steps": 2, "recover": TrainConfig(**SHORT)}
    config = LastUnits(kind="prune", method="last", heads=0.5, ffn=0.5, **settings)
    facts = prune_stage(config, context).facts
    assert layer_sizes(model_of(context)) == ([1, 1], [32, 32])
    assert facts["notes"][0] == "keeps 2 of 4 heads and 64 of 128 feed-forward neurons"
    assert config.describe() == "last: remove 50% of heads, 50% of ffn in 2 rounds"


def test_the_hidden_width_alone(prepared):
    context = prepared(stage=stage(hidden=0.25, score_steps=2))
    facts = run(context).facts
    model = model_of(context)
    assert layer_sizes(model) == ([2, 2], [64, 64])
    assert facts["hidden"] == model.config.hidden_size == 24
    assert facts["notes"] == ["keeps 24 of 32 hidden dimensions"]
    assert type(model).__name__ == "PrunedBertForSequenceClassification"


def test_width_and_heads_that_fill_it_are_stock_bert_and_recover(prepared):
    context = prepared(
        stage=stage(heads=0.5, hidden=0.5, score_steps=2, recover=SHORT, max_drop=1.0)
    )
    facts = run(context).facts
    model = model_of(context)
    assert type(model).__name__ == "BertForSequenceClassification"
    assert (model.config.hidden_size, model.config.num_attention_heads) == (16, 1)
    assert facts["notes"][:2] == [
        "keeps 2 of 4 heads and 128 of 128 feed-forward neurons",
        "keeps 16 of 32 hidden dimensions",
    ]


def test_the_width_goes_in_rounds_counted_from_the_first(prepared):
    settings = {"schedule": "linear", "steps": 2, "score_steps": 2, "recover": SHORT}
    context = prepared(stage=stage(hidden=0.5, **settings))
    run(context)
    between = AutoModelForSequenceClassification.from_pretrained(
        context.folder / "round-1" / "model"
    )
    assert [between.config.hidden_size, model_of(context).config.hidden_size] == [24, 16]


def test_a_schedule_recovers_between_its_rounds(prepared, caplog):
    context = prepared(
        stage=stage(method="l1", heads=0, ffn=0.5, schedule="linear", steps=2, recover={**SHORT})
    )
    with caplog.at_level(logging.INFO, logger="distill"):
        facts = run(context).facts
    assert facts["ffn"] == [32, 32]
    assert "prune: round 1 of 2" in caplog.messages
    between = AutoModelForSequenceClassification.from_pretrained(
        context.folder / "round-1" / "model"
    )
    assert between.config.intermediate_size == 48
    curves = (context.run.metrics).read_text("utf-8")
    assert "prune-round-1," in curves
    # A run that was stopped behind the round goes on with it, and ends in the same weights.
    weights = context.model_folder / "model.safetensors"
    before = weights.read_bytes()
    for name in ("sliced", "checkpoint", "model"):
        (context.folder / name).rename(context.folder / f"old-{name}")
    caplog.clear()
    run(context)
    assert weights.read_bytes() == before


def test_a_latency_is_measured_beside_the_student_before(prepared, monkeypatch):
    def fake(models, *, length, threads, per_channel=True):
        found = {}
        for name, model in models.items():
            heads, ffn = layer_sizes(model)
            found[name] = 0.2 + 0.2 * sum(heads) + 0.01 * sum(ffn)
        return found

    # The table believes that everything takes half as long as it does.
    monkeypatch.setattr(
        latency, "measured_ms", lambda *a, **k: {n: v / 2 for n, v in fake(*a, **k).items()}
    )
    monkeypatch.setattr(units, "measured_ms", fake)
    budget = {"latency_ms": 1.4, "length": 8, "threads": 1}
    context = prepared(stage=stage(method="fisher", samples=32, budget=budget))
    facts = run(context).facts
    found = facts["budget"]
    assert found["before"] == pytest.approx(0.2 + 0.8 + 1.28)
    assert found["asked"] == 1.4
    assert found["reached"] <= 1.4 * 1.03
    assert json.loads((context.folder / "latency.json").read_text("utf-8"))["length"] == 8
    assert "1.40 ms asked" in facts["notes"][1]


@pytest.mark.parametrize("settings", [{"layers": 1, "score_steps": 2}, {"keep": [2]}])
def test_layers_are_removed_and_the_rest_is_stock_bert(prepared, settings):
    context = prepared(stage=stage(method="depth", **settings))
    facts = run(context).facts
    model = model_of(context)
    assert type(model).__name__ == "BertForSequenceClassification"
    assert model.config.num_hidden_layers == len(facts["layers"]) == 1
    assert facts["notes"][0] == "keeps 1 of 2 layers"
    if "keep" in settings:
        assert facts["layers"] == [2]
        before = context.load_student()
        found = model.bert.encoder.layer[0].state_dict()
        for name, weight in before.bert.encoder.layer[1].state_dict().items():
            assert torch.equal(found[name], weight), name


def test_a_trimmed_vocabulary_says_the_same_in_torch_and_in_the_bundle(prepared, sentences):
    from distill.runtime import load
    from distill.stages.context import StageContext
    from distill.stages.export import export_stage

    context = prepared(stage=stage(method="vocabulary"))
    facts = run(context).facts
    told = facts["vocabulary"]
    assert told["after"] < told["before"] == context.load_student().config.vocab_size
    assert told["unknown_before"] == told["unknown_after"] == 0.0
    assert told["pieces_before"] == told["pieces_after"]
    # The rows are those of training, so nothing is lost.
    assert facts["score"] == 1.0
    assert model_of(context).config.vocab_size == told["after"]
    after = StageContext(context.run, context.stages[3], context.stages, context.shared)
    assert len(after.workspace.tokenizer) == told["after"]
    assert len(context.workspace.tokenizer) == told["before"]
    assert not after.workspace.reads_as_teacher
    (context.folder / "stage.json").write_text('{"score": 1.0}')
    exported = export_stage(after.stage.config, after).facts
    assert exported["scores_by_format"]["onnx"] == 1.0
    texts, _ = sentences
    labels = context.workspace.data.validation.labels
    found = [row["label"] for row in load(context.run.bundle).predict(list(texts))]
    assert found == [("negative", "positive")[label] for label in labels]


def test_rare_pieces_go_too_and_their_words_are_spelled(prepared):
    from distill.pruning.subwords import ids_to_keep

    context = prepared(stage=stage(method="vocabulary", min_count=10_000))
    told = run(context).facts["vocabulary"]
    # No piece is that frequent: what is left is what any word can be spelled with.
    assert told["after"] == len(ids_to_keep(context.workspace.tokenizer, ()))
    assert told["pieces_after"] > told["pieces_before"]
    assert told["unknown_after"] == 0.0
    assert model_of(context).config.vocab_size == told["after"]


def test_a_student_with_its_own_vocabulary_learns_on(prepared):
    from distill.stages.context import StageContext
    from distill.stages.distill import distil_logits, teacher_logits

    context = prepared(stage=stage(method="vocabulary"))
    before = teacher_logits(context, context.load_teacher())
    run(context)
    after = StageContext(context.run, context.stages[3], context.stages, context.shared)
    assert (teacher_logits(after, after.load_teacher()) == before).all()
    gentle = TrainConfig(**SHORT | {"lr": 1e-6})
    student, result = distil_logits(after, after.load_student(), gentle)
    assert result.steps == 2
    assert after.validation_score(student) > 0.9
