import io
import itertools
import logging
import sys
import warnings

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from distill.errors import DataError, ModelError
from distill.pruning.masks import Masks, keep_best
from distill.pruning.scores import taylor_masks, taylor_scores
from distill.pruning.surgery import slice_model

HEADS, HEAD_DIM, HIDDEN, FFN, LAYERS = 4, 3, 12, 10, 2


@pytest.fixture
def model():
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=60,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=FFN,
        initializer_range=0.3,
    )
    return BertForSequenceClassification(config)


@pytest.fixture
def batches():
    random = torch.Generator().manual_seed(5)
    return [
        {
            "input_ids": torch.randint(5, 60, (4, 8), generator=random),
            "attention_mask": torch.ones(4, 8, dtype=torch.int64),
            "target": torch.randn(4, 2, generator=random),
        }
        for _ in range(3)
    ]


def loss_of(model, batch):
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return (logits - batch["target"]).square().mean()


def by_hand(model, batches):
    """The formula from autograd alone: mean over batches of the summed squares of grad * weight."""
    model = model.eval()
    heads = [torch.zeros(HEADS) for _ in range(LAYERS)]
    ffn = [torch.zeros(FFN) for _ in range(LAYERS)]
    for batch in batches:
        for index, layer in enumerate(model.bert.encoder.layer):
            own = layer.attention.self
            linears = [own.query, own.key, own.value, layer.intermediate.dense]
            grads = torch.autograd.grad(loss_of(model, batch), [part.weight for part in linears])
            squares = [
                (grad * part.weight).square().sum(1)
                for grad, part in zip(grads, linears, strict=True)
            ]
            for part in squares[:3]:
                heads[index] += part.reshape(HEADS, HEAD_DIM).sum(1) / len(batches)
            ffn[index] += squares[3] / len(batches)
    return heads, ffn


def test_scores_are_the_formula(model, batches):
    scores = taylor_scores(model, loss_of=loss_of, batches=batches, steps=3)
    heads, ffn = by_hand(model, batches)
    for found, expected in zip([*scores.heads, *scores.ffn], [*heads, *ffn], strict=True):
        torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-12)


def test_masks_keep_the_largest_scores(model, batches):
    masks = taylor_masks(
        model, loss_of=loss_of, batches=itertools.cycle(batches), heads=0.33, ffn=0.5, steps=3
    )
    heads, ffn = by_hand(model, batches)
    assert masks.heads_kept == [3, 3]
    assert masks.ffn_kept == [5, 5]
    for found, scores in zip(masks.heads, heads, strict=True):
        assert torch.equal(found, keep_best(scores, 0.33))
    for found, scores in zip(masks.ffn, ffn, strict=True):
        assert torch.equal(found, keep_best(scores, 0.5))
    again = taylor_masks(model, loss_of=loss_of, batches=batches, heads=0.33, ffn=0.5, steps=3)
    for one, other in zip(masks.heads + masks.ffn, again.heads + again.ffn, strict=True):
        assert torch.equal(one, other)


def test_the_model_is_left_as_it_was(model, batches):
    model.train()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    modules = [type(module) for module in model.modules()]
    identities = {name: id(weight) for name, weight in model.named_parameters()}
    taylor_masks(model, loss_of=loss_of, batches=batches, heads=0.5, ffn=0.5, steps=3)
    assert model.training
    assert modules == [type(module) for module in model.modules()]
    assert identities == {name: id(weight) for name, weight in model.named_parameters()}
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]), name
        assert weight.requires_grad, name
        assert weight.grad is None, name


def test_nni_leaves_nothing_behind(model, batches, monkeypatch, caplog):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    compile_before, filters = torch.compile, list(warnings.filters)
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    state = torch.random.get_rng_state()
    taylor_masks(model, loss_of=loss_of, batches=batches, heads=0.5, ffn=0.5, steps=1)
    assert out.getvalue() == ""
    assert torch.compile is compile_before
    assert warnings.filters == filters
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger().level == level
    assert logging.getLogger("nni").handlers == []
    assert torch.equal(torch.random.get_rng_state(), state)
    assert caplog.records == []


def test_a_pruned_model_is_scored_again(model, batches):
    empty = torch.zeros
    masks = Masks(
        [torch.tensor([True, False, True, True]), empty(HEADS, dtype=torch.bool)],
        [empty(FFN, dtype=torch.bool), torch.arange(FFN) < 6],
    )
    sliced = slice_model(model, masks)
    again = taylor_masks(sliced, loss_of=loss_of, batches=batches, heads=0.34, ffn=0.5, steps=2)
    assert again.heads_kept == [2, 0]
    assert again.ffn_kept == [0, 3]
    slice_model(sliced, again)


def test_no_batches_are_refused(model):
    with pytest.raises(DataError, match="no batches"):
        taylor_masks(model, loss_of=loss_of, batches=[], heads=0.5, ffn=0.5, steps=3)


def test_scores_that_are_not_numbers_are_refused(model, batches):
    model.classifier.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="not numbers"):
        taylor_masks(model, loss_of=loss_of, batches=batches, heads=0.5, ffn=0.5, steps=3)
