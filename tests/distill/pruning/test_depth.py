from __future__ import annotations

import itertools

import pytest
import tiny_pruning as tiny
import torch

from distill.pruning.layers import keep_layers, layers_to_keep, only_layers
from distill.pruning.masks import Masks, layer_sizes
from distill.pruning.surgery import slice_model


def own_loss(model, batches):
    """The distance from what the whole model says."""
    aims = {id(batch["input_ids"]): tiny.logits_of(model, [batch]) for batch in batches}

    def loss(student, batch):
        return (tiny.logits_of(student, [batch]) - aims[id(batch["input_ids"])]).square().mean()

    return loss


def test_layers_that_do_nothing_go_first():
    model, batches = tiny.make_model(), tiny.make_batches()
    for dense in (
        model.bert.encoder.layer[1].attention.output.dense,
        model.bert.encoder.layer[1].output.dense,
    ):
        torch.nn.init.zeros_(dense.weight)
        torch.nn.init.zeros_(dense.bias)
    loss = own_loss(model, batches)
    found = layers_to_keep(model, loss_of=loss, batches=itertools.cycle(batches), remove=1, steps=3)
    assert found == [1, 3]
    alone = layers_to_keep(model, loss_of=loss, batches=batches, remove=2, steps=3)
    losses = {}
    for layer in (0, 2):
        with only_layers(model, [layer]):
            losses[layer + 1] = sum(float(loss(model, batch)) for batch in batches)
    assert alone == [min(losses, key=losses.get)]
    assert len(model.bert.encoder.layer) == 3


@pytest.mark.parametrize("pruned", [False, True])
def test_what_is_left_is_the_model_without_those_layers(pruned, tmp_path):
    model, batches = tiny.make_model(), tiny.make_batches()
    if pruned:
        masks = Masks(
            [torch.arange(4) < n for n in (3, 0, 4)], [torch.arange(10) < n for n in (10, 7, 0)]
        )
        model = slice_model(model, masks)
    with only_layers(model, [0, 2]):
        expected = tiny.logits_of(model, batches)
    left = keep_layers(model, [1, 3])
    assert torch.equal(tiny.logits_of(left, batches), expected)
    assert left.config.num_hidden_layers == 2
    assert model.config.num_hidden_layers == 3
    assert type(left) is type(model)
    if pruned:
        assert layer_sizes(left) == ([3, 4], [10, 0])
    left.save_pretrained(tmp_path)
    again = type(left).from_pretrained(tmp_path).eval()
    assert torch.equal(tiny.logits_of(again, batches), expected)
