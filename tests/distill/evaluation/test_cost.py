"""Parameters, multiply-accumulates and bytes, against published and hand-counted numbers."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from distill.evaluation.cost import bytes_of, macs, parameters, parameters_no_embeddings
from students.pruned import PrunedBertConfig, PrunedBertForSequenceClassification


def on_meta(config):
    with torch.device("meta"):
        return BertForSequenceClassification(config)


@pytest.fixture(scope="module")
def bert_base():
    return on_meta(BertConfig())


@pytest.mark.parametrize(
    ("sizes", "gflops"),
    [((12, 768, 12, 3072), 22.35), ((6, 768, 12, 3072), 11.17), ((4, 312, 12, 1200), 1.25)],
)
def test_twice_the_macs_are_the_published_flops_at_128_tokens(sizes, gflops):
    layers, hidden, heads, ffn = sizes
    config = BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=ffn,
    )
    assert 2 * macs(on_meta(config), 128) / 1e9 == pytest.approx(gflops, abs=0.006)


def test_bert_base_has_the_known_numbers_of_parameters(bert_base):
    # 109,482,240 of the encoder with its pooler, 2 * 768 + 2 of the classifier.
    assert parameters(bert_base) == 109_482_240 + 1538
    tables = (30522 + 512 + 2) * 768
    assert parameters_no_embeddings(bert_base) == 109_483_778 - tables


def test_a_pruned_model_counts_what_is_left_of_it():
    config = PrunedBertConfig(
        hidden_size=16, num_attention_heads=4, num_hidden_layers=2, intermediate_size=32,
        vocab_size=10, heads_per_layer=[3, 0], ffn_per_layer=[20, 0],
    )  # fmt: skip
    model = PrunedBertForSequenceClassification(config)
    length, width = 8, 3 * 4
    layer = length * (4 * 16 * width + 2 * 16 * 20) + 2 * length**2 * width
    assert macs(model, length) == layer + 16 * 16 + 2 * 16


def test_bytes_are_those_of_the_weights_alone(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    (tmp_path / "tokenizer.json").write_bytes(b"x" * 900)
    (tmp_path / "a.onnx").write_bytes(b"x" * 10)
    (tmp_path / "a.onnx.data").write_bytes(b"x" * 50)
    assert bytes_of(tmp_path) == bytes_of(tmp_path / "model.safetensors") == 100
    assert bytes_of(tmp_path / "a.onnx") == 60
