"""Integrated gradients, complete and exact; attention as eager attention has it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.inspection.gradients import TOLERANCE, integrated_gradients
from distill.inspection.inspect_text import attention_of
from students.anatomy import anatomy
from students.pruned import PrunedBertConfig, PrunedBertForSequenceClassification


@pytest.fixture(scope="module")
def model(tiny_bert):
    found = AutoModelForSequenceClassification.from_pretrained(tiny_bert(layers=2, hidden=32))
    found.classifier.weight.data.mul_(20)  # random logits hardly differ
    return found.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batch(tiny_bert):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert())
    return dict(tokenizer("the best film was not a bad one", return_tensors="pt"))


def masked(ids):
    blank = ids.clone()
    blank[:, 1:-1] = 4
    return blank


def margin(model):
    return lambda batch: model(**batch).logits[:, 1] - model(**batch).logits[:, 0]


def test_the_attributions_add_up_to_the_difference_of_the_outputs(model, batch):
    blank = masked(batch["input_ids"])
    found = integrated_gradients(model, batch, margin(model), baseline_ids=blank)
    with torch.no_grad():
        after = float(margin(model)(batch))
        before = float(margin(model)({**batch, "input_ids": blank}))
    assert found.output == pytest.approx(after, abs=1e-6)
    assert found.baseline == pytest.approx(before, abs=1e-6)
    assert abs(after - before) > 0.1
    assert sum(found.values) == pytest.approx(after - before, rel=TOLERANCE, abs=5e-3)
    assert found.gap == pytest.approx(sum(found.values) - (after - before), abs=1e-6)


def test_of_a_linear_output_each_value_is_exact(model, batch):
    words = anatomy(model).embeddings.word_embeddings
    weights = torch.randn(
        batch["input_ids"].size(1), 32, generator=torch.Generator().manual_seed(0)
    )
    blank = masked(batch["input_ids"])
    found = integrated_gradients(
        model, batch, lambda rows: (words(rows["input_ids"]) * weights).sum((1, 2)),
        baseline_ids=blank,
    )  # fmt: skip
    step = words(batch["input_ids"])[0] - words(blank)[0]
    expected = (step * weights).sum(-1)
    torch.testing.assert_close(torch.tensor(found.values).float(), expected)


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
