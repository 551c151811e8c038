from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import BertForSequenceClassification


@pytest.fixture(scope="session")
def classifier() -> Callable[..., BertForSequenceClassification]:
    """A random classifier of three classes, of a shape."""
    import torch
    from transformers import BertConfig

    def build(*, vocab: int, hidden: int, layers: int, ffn: int) -> BertForSequenceClassification:
        config = BertConfig(
            vocab_size=vocab,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            intermediate_size=ffn,
            initializer_range=0.1,
            num_labels=3,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return BertForSequenceClassification(config).eval()

    return build


@pytest.fixture(scope="module")
def plain(model: BertForSequenceClassification, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph of a module's ``model``, in fp32."""
    from distill.export.onnx import export_onnx

    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(model, path)
    return path
