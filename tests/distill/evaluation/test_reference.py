"""The second 1x: BERT-base's shape, without its weights."""

from __future__ import annotations

import numpy as np
import pytest

from distill.evaluation import predictors
from distill.evaluation.memory import peak_memory_mb
from distill.evaluation.predictors import reference


@pytest.mark.slow
def test_bert_base_costs_what_is_published():
    _, facts = reference("bert-base", threads=1, length=128)
    assert facts.parameters == 109_483_778  # 110 M with pooler, and a head for two labels
    assert facts.macs == pytest.approx(11.17e9, rel=1e-3)
    assert facts.bytes == 4 * facts.parameters


def test_it_answers_to_inputs_longer_than_512(monkeypatch):
    small = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1}
    monkeypatch.setitem(predictors.SHAPES, "bert-base", small | {"intermediate_size": 8})
    predictor, facts = reference("bert-base", threads=1, length=8, longest=600, labels=3)
    ids = np.full((2, 600), 30521)
    assert predictor({"input_ids": ids, "attention_mask": np.ones_like(ids)}).shape == (2, 3)
    assert facts.name == "bert-base"


@pytest.mark.slow
def test_memory_of_a_fresh_process(bundle):
    folder = bundle()
    ballast = bytearray(1_000_000_000)  # what this process holds is not the other's
    small = peak_memory_mb("onnx-int8", folder / "onnx/model_quantized.onnx", length=8, threads=1)
    large = peak_memory_mb("transformers", folder, length=8, threads=1)
    del ballast
    assert 20 < small < min(large, 400)  # torch and transformers weigh more than the runtime
