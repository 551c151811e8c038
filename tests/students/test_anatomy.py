"""Finding the parts of a model."""

from __future__ import annotations

import pytest
import torch
from families import tiny_model
from transformers import XLMConfig, XLMModel

from distill.system.errors import ModelError
from students.anatomy import anatomy


@pytest.mark.parametrize("head", ["none", "classification", "mlm"])
def test_parts_are_the_same_under_any_head(head) -> None:
    model = tiny_model("bert", head, layers=3)
    encoder = model if head == "none" else model.bert
    parts = anatomy(model)
    assert parts.encoder is encoder
    assert parts.embeddings is encoder.embeddings
    assert parts.layers is encoder.encoder.layer
    assert (parts.depth, parts.hidden, parts.heads) == (3, 16, 4)


def test_other_families_are_refused_by_name() -> None:
    model = XLMModel(XLMConfig(vocab_size=50, emb_dim=32, n_layers=1, n_heads=4))
    with pytest.raises(ModelError, match=r"'xlm'.*bert, .*pruned_bert"):
        anatomy(model)
    with pytest.raises(ModelError, match="Linear is not a transformers model"):
        anatomy(torch.nn.Linear(1, 1))
