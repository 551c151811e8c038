"""Finding the parts of a model."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    XLMConfig,
    XLMModel,
)

from distill.system.errors import ModelError
from students.anatomy import anatomy

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


@pytest.mark.parametrize("kind", [BertModel, BertForSequenceClassification, BertForMaskedLM])
def test_parts_are_the_same_under_any_head(kind) -> None:
    model = kind(BertConfig(**SIZES))
    encoder = model if kind is BertModel else model.bert
    parts = anatomy(model)
    assert parts.encoder is encoder
    assert parts.embeddings is encoder.embeddings
    assert parts.layers is encoder.encoder.layer
    assert (parts.depth, parts.hidden, parts.heads) == (3, 32, 4)


def test_other_families_are_refused_by_name() -> None:
    model = XLMModel(XLMConfig(vocab_size=50, emb_dim=32, n_layers=1, n_heads=4))
    with pytest.raises(ModelError, match=r"'xlm'.*bert, .*pruned_bert"):
        anatomy(model)
    with pytest.raises(ModelError, match="Linear is not a transformers model"):
        anatomy(torch.nn.Linear(1, 1))
