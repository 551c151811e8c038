"""Integrated gradients: complete, exact where the exact answer is known, and without traces."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.inspection.gradients import TOLERANCE, integrated_gradients
from students.anatomy import anatomy


@pytest.fixture
def model(tiny_bert):
    found = AutoModelForSequenceClassification.from_pretrained(tiny_bert(layers=2, hidden=32))
    found.classifier.weight.data.mul_(20)  # random logits hardly differ
    return found.eval().requires_grad_(False)


@pytest.fixture
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
