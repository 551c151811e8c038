"""Signals are what the model computes, and nothing more of the model runs than they need."""

from __future__ import annotations

import copy

import pytest
import torch
from families import tiny_model
from transformers import PreTrainedModel

from distill.capture.capture import Capture
from distill.capture.collector import ATTENTION
from distill.system.errors import ModelError

DEPTH = 4
PRUNED = {"heads_per_layer": [4, 1, 2, 3], "ffn_per_layer": [12, 0, 7, 5]}


def stock() -> PreTrainedModel:
    return tiny_model("bert", layers=DEPTH, vocab_size=60)


def pruned() -> PreTrainedModel:
    return tiny_model("pruned_bert", layers=DEPTH, vocab_size=60, **PRUNED)


def make_batch(*, padded: bool = True) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(3, 9, dtype=torch.long)
    if padded:
        mask[1, 5:] = 0
        mask[2, 2:] = 0
    return {
        "input_ids": torch.randint(1, 60, (3, 9), generator=generator) * mask,
        "attention_mask": mask,
        "token_type_ids": torch.zeros(3, 9, dtype=torch.long),
        "labels": torch.tensor([0, 1, 2]),
        "index": torch.tensor([5, 6, 7]),
    }


def inputs_of(batch):
    return {k: batch[k] for k in ("input_ids", "attention_mask", "token_type_ids")}


def count_calls(model) -> list[int]:
    calls = [0] * DEPTH

    def counter(index):
        def hook(*_):
            calls[index] += 1

        return hook

    for index, layer in enumerate(model.bert.encoder.layer):
        layer.register_forward_pre_hook(counter(index))
    return calls


EVERYTHING = {
    "attention": range(1, DEPTH + 1),
    "hidden": range(1, DEPTH + 1),
    "embedding": True,
    "logits": True,
}


@pytest.mark.parametrize("make", [stock, pruned])
@pytest.mark.parametrize("padded", [True, False])
def test_signals_are_those_of_the_plain_model_and_of_eager_attention(make, padded) -> None:
    model, batch = make(), make_batch(padded=padded)
    assert model.config._attn_implementation == "sdpa"
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        signals = Capture(model, **EVERYTHING)(batch)
        assert torch.equal(model(**inputs_of(batch)).logits, signals.logits)
        reference = eager(**inputs_of(batch), output_attentions=True, output_hidden_states=True)
    added = (1 - batch["attention_mask"][:, None, None, :]) * torch.finfo(torch.float32).min
    assert sorted(signals.attention) == [1, 2, 3, 4]
    for layer, scores in signals.attention.items():
        probabilities = torch.softmax(scores + added, dim=-1)
        torch.testing.assert_close(
            probabilities, reference.attentions[layer - 1], rtol=1e-5, atol=1e-6
        )
    torch.testing.assert_close(signals.embedding, reference.hidden_states[0])
    for layer, hidden in signals.hidden.items():
        torch.testing.assert_close(hidden, reference.hidden_states[layer], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("wanted", "calls"),
    [
        ({"hidden": [2]}, [1, 1, 0, 0]),
        ({"attention": [1, 3]}, [1, 1, 1, 0]),
        ({"attention": [3], "hidden": [2]}, [1, 1, 1, 0]),
        ({"embedding": True}, [0, 0, 0, 0]),
        ({"hidden": [1], "logits": True}, [1, 1, 1, 1]),
    ],
)
def test_layers_above_the_highest_wanted_do_not_run(wanted, calls) -> None:
    model = stock()
    counted = count_calls(model)
    heads = []
    model.classifier.register_forward_pre_hook(lambda *_: heads.append(1))
    Capture(model, **wanted)(make_batch())
    assert counted == calls
    assert bool(heads) == wanted.get("logits", False)


def test_feed_forward_of_the_top_layer_does_not_run_for_its_scores_alone() -> None:
    model, ran = stock(), []
    model.bert.encoder.layer[2].intermediate.register_forward_pre_hook(lambda *_: ran.append(1))
    Capture(model, attention=[3])(make_batch())
    assert not ran


@pytest.mark.parametrize("before", ["sdpa", "eager"])
def test_the_model_is_left_as_it_was(before) -> None:
    model = stock()
    model.set_attn_implementation(before)
    seen = []
    attention = model.bert.encoder.layer[0].attention.self
    attention.register_forward_pre_hook(lambda *_: seen.append(model.config._attn_implementation))
    capture = Capture(model, attention=[2], hidden=[1], embedding=True)
    capture(make_batch())
    assert seen == [ATTENTION]
    assert model.config._attn_implementation == before
    assert not any(module._forward_hooks for module in model.modules())

    with pytest.raises(IndexError):
        capture({**make_batch(), "input_ids": torch.full((3, 9), 10_000)})
    assert model.config._attn_implementation == before
    assert not any(module._forward_hooks for module in model.modules())


def test_scores_are_fp32_under_autocast() -> None:
    capture = Capture(stock(), attention=[1], logits=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        signals = capture(make_batch())
    assert signals.attention[1].dtype == torch.float32
    assert signals.logits.dtype == torch.bfloat16


def test_wrong_wishes_are_refused() -> None:
    with pytest.raises(ModelError, match=r"layer 5 .* 1 to 4"):
        Capture(stock(), hidden=[5])
    with pytest.raises(ModelError, match="nothing to capture"):
        Capture(stock())


def test_a_layer_without_heads_has_no_scores() -> None:
    model = tiny_model("pruned_bert", layers=DEPTH, vocab_size=60, heads_per_layer=[4, 0, 4, 4])
    with pytest.raises(ModelError, match="layer 2 gave no attention scores"):
        Capture(model, attention=[2])(make_batch())


def test_gradient_checkpointing_is_refused_while_scores_are_wanted() -> None:
    model = stock().train()
    model.gradient_checkpointing_enable()
    with pytest.raises(ModelError, match="gradient checkpointing"):
        Capture(model, attention=[1])(make_batch())
    assert Capture(model, hidden=[1], logits=True)(make_batch()).hidden[1].requires_grad
