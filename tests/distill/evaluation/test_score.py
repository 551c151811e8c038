"""Predictors and scores, against the model called by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertForSequenceClassification

from distill.data.split import Split
from distill.data.tokenized import tokenize
from distill.evaluation.predictors import TorchPredictor
from distill.evaluation.score import score
from distill.tasks.classification.task import Classification
from distill.tasks.regression.task import Regression


@pytest.fixture
def tiny(tiny_bert, sentences):
    folder = tiny_bert()
    texts, labels = sentences
    split = Split(name="validation", texts=texts, labels=labels)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertForSequenceClassification.from_pretrained(folder)
    return SimpleNamespace(
        model=model,
        tokenizer=tokenizer,
        texts=texts,
        labels=labels,
        dataset=tokenize(split, tokenizer, max_length=32),
    )


def by_hand(tiny):
    inputs = tiny.tokenizer(
        tiny.texts, padding=True, truncation=True, max_length=32, return_tensors="pt"
    )
    with torch.no_grad():
        return tiny.model.eval()(**inputs).logits


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_score_is_over_every_row_whatever_the_batch_size(tiny, batch_size):
    task = Classification(["negative", "positive"])
    found = score(TorchPredictor(tiny.model, 1), tiny.dataset, task, batch_size=batch_size)
    right = by_hand(tiny).argmax(-1) == torch.tensor(tiny.labels)
    assert found["accuracy"] == pytest.approx(right.float().mean().item())
    assert set(found) == {"accuracy", "macro_f1", "mcc", "f1"}


def test_a_torch_predictor_turns_dropout_off_and_gives_fp32(tiny):
    tiny.model.train()
    predictor = TorchPredictor(tiny.model, 1)
    batch = {"input_ids": np.array([[5, 6, 7]]), "attention_mask": np.ones((1, 3), dtype=np.int64)}
    first = predictor(batch)
    assert first.dtype == np.float32
    assert (first == predictor(batch)).all()


def test_a_correlation_that_is_not_defined_is_0_and_said(tiny, caplog):
    class Constant:
        name = "student"

        def __call__(self, inputs):
            return np.full((len(inputs["input_ids"]), 1), 0.3, dtype=np.float32)

    with caplog.at_level("WARNING", logger="distill"):
        found = score(Constant(), tiny.dataset, Regression(metric="spearman"))
    assert (found["spearman"], found["pearson"]) == (0.0, 0.0)
    assert (
        "student: spearman is not defined, as all predictions or all given numbers are the same: 0"
        in caplog.text
    )
