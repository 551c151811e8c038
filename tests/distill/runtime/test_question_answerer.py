"""Answers from a bundle: exact spans, windows, candidates, no answer."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForQuestionAnswering

from distill.export.bundle import write_bundle
from distill.export.onnx import export_onnx
from distill.export.transformers_folder import save_transformers
from distill.runtime import load
from distill.tasks.qa.task import QuestionAnswering
from distill.text.spans import best_spans, window_spans
from students.heads import logits_of

LONG = " ".join(f"the {word} film was {word} too" for word in ("good", "bad", "dull", "fine") * 5)
SHORT = "a good film \U0001f600 by שלום he"
QUESTIONS, CONTEXTS = ["what was dull?", "who?", "what?"], [LONG, SHORT, "film"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory, request):
    return tmp_path_factory.mktemp("qa")


@pytest.fixture
def bundle(kept, tiny_bert, tmp_path):
    """A factory of bundles of a random tiny model, with settings."""
    if not (kept / "bundle").exists():
        folder = tiny_bert()
        torch.manual_seed(0)
        model = BertForQuestionAnswering(BertConfig.from_pretrained(folder)).eval()
        model.qa_outputs.weight.data.mul_(10)
        save_transformers(model, AutoTokenizer.from_pretrained(folder), kept / "model")
        export_onnx(model, kept / "model.onnx")
        task = QuestionAnswering(stride=8)
        write_bundle(
            kept / "bundle",
            transformers_folder=kept / "model",
            tokenizer_folder=kept / "model",
            models={"onnx": kept / "model.onnx"},
            info={
                "name": "tiny",
                "task": task.kind,
                "labels": list(task.labels),
                "settings": task.settings,
                "pair": True,
                "max_length": 32,
            },
        )

    def build(**settings):
        folder = tmp_path / "bundle"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept / "bundle", folder)
        manifest = json.loads((folder / "distill.json").read_text("utf-8"))
        manifest["settings"] |= settings
        (folder / "distill.json").write_text(json.dumps(manifest), "utf-8")
        return load(folder)

    return build


def test_answers_are_spans_of_the_context(bundle):
    model = bundle()
    for context, found in zip(CONTEXTS, model.predict(QUESTIONS, CONTEXTS), strict=True):
        assert list(found) == ["answer", "start", "end", "score", "candidates"]
        assert found["answer"]
        assert found["candidates"][0] == {key: found[key] for key in list(found)[:4]}
        assert len({(c["start"], c["end"]) for c in found["candidates"]}) == len(
            found["candidates"]
        )
        scores = [c["score"] for c in found["candidates"]]
        assert scores == sorted(scores, reverse=True)
        assert all(c["answer"] == context[c["start"] : c["end"]] for c in found["candidates"])
    assert json.loads(json.dumps(found)) == found
    assert [c["answer"] for c in found["candidates"]] == ["film"]


def test_answers_are_those_of_the_model_in_torch(bundle, kept):
    """Windows, decoding and the graph, against the model of the bundle's folder."""
    answerer = bundle()
    model = BertForQuestionAnswering.from_pretrained(kept / "model").eval()
    found = answerer.predict(QUESTIONS, CONTEXTS, batch_size=2)
    for question, context, one in zip(QUESTIONS, CONTEXTS, found, strict=True):
        windows = answerer.decoder.inputs(answerer.encoder, [question], [context]).rows
        assert len(windows) > 3 or context is not LONG
        spans = []
        for window in windows:
            inputs = {
                "input_ids": torch.tensor([window.ids]),
                "token_type_ids": torch.tensor([window.type_ids]),
                "attention_mask": torch.ones(1, len(window), dtype=torch.long),
            }
            with torch.inference_mode():
                logits = logits_of(model, inputs)[0].numpy()
            spans.append(window_spans(logits, window.first, window.chars, max_answer=30, count=1))
        [best] = best_spans((own for own, _ in spans), 1)
        assert (one["start"], one["end"]) == (best.start, best.end)


def test_no_answer_where_the_bundle_allows_it(bundle):
    [never] = bundle(no_answer=True, threshold=1e9).predict(["who?"], [SHORT])
    assert (never["answer"], never["start"], never["end"]) == ("", 0, 0)
    assert 0 < never["score"] < 1
    model = bundle(no_answer=True, threshold=-1e9)
    [always] = model.predict(["who?"], [SHORT])
    assert always["answer"]
    assert model.decoder.line(never).endswith("%  (no answer)")
    assert model.decoder.line(always).endswith(f"%  {always['answer']}")


def test_a_text_without_words_has_no_answer(bundle):
    assert bundle().predict(["who?"], ["  "]) == [
        {"answer": "", "start": 0, "end": 0, "score": 0.0, "candidates": []}
    ]
    assert bundle().predict([], []) == []
