"""Attention probabilities: those that eager attention uses, and of pruned layers too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.inspection.inspect_text import attention_of
from students.pruned import PrunedBertConfig, PrunedBertForSequenceClassification


@pytest.fixture
def batch(tiny_bert):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert())
    return dict(tokenizer("the best film", "was not a bad one", return_tensors="pt"))


def test_they_are_the_probabilities_of_eager_attention(tiny_bert, batch):
    folder = tiny_bert(layers=3, heads=4)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    eager = AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager"
    ).eval()
    found = attention_of(model, batch, [1, 3])
    with torch.no_grad():
        expected = eager(**batch, output_attentions=True).attentions
    assert sorted(found) == [1, 3]
    for layer, values in found.items():
        np.testing.assert_allclose(values, expected[layer - 1][0], atol=1e-6)


def test_a_pruned_layer_gives_the_heads_it_has(batch):
    config = PrunedBertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=64, heads_per_layer=[3, 0, 1], ffn_per_layer=[64, 64, 0],
    )  # fmt: skip
    model = PrunedBertForSequenceClassification(config).eval()
    length = batch["input_ids"].size(1)
    found = attention_of(model, batch, [1, 2, 3])
    assert [values.shape for values in found.values()] == [
        (3, length, length), (0, length, length), (1, length, length)
    ]  # fmt: skip
    np.testing.assert_allclose(found[1].sum(-1), 1.0, atol=1e-5)
