from __future__ import annotations

import pytest
import tiny_pruning as tiny
import torch

from distill.pruning.masks import Masks
from distill.pruning.reconstruct import reconstruct
from distill.pruning.surgery import slice_model


def cut(model, heads: int, ffn: int):
    return slice_model(
        model,
        Masks(
            [torch.arange(tiny.HEADS) < heads] * tiny.LAYERS,
            [torch.arange(tiny.FFN) < ffn] * tiny.LAYERS,
        ),
    )


@pytest.mark.parametrize(("heads", "ffn"), [(3, 6), (0, 4), (2, 0)])
def test_what_is_left_comes_nearer_to_the_whole_model(heads, ffn):
    model, seen, unseen = tiny.make_model(), tiny.make_batches(60), tiny.make_batches(80)[60:]
    aim = tiny.logits_of(model, unseen)
    errors = {}
    for how in ("none", "scale", "weights"):
        sliced = cut(model, heads, ffn)
        if how != "none":
            reconstruct(sliced, model, seen, how=how)
        errors[how] = float((tiny.logits_of(sliced, unseen) - aim).square().mean())
    assert errors["weights"] < 0.7 * errors["none"]
    if heads and ffn:
        assert errors["scale"] < errors["none"]


def test_a_unit_that_stands_in_for_its_removed_twin_is_doubled():
    model = tiny.make_model()
    layer = model.bert.encoder.layer[0]
    for part in (layer.intermediate.dense.weight, layer.intermediate.dense.bias):
        part.data[9] = part.data[0]
    layer.output.dense.weight.data[:, 9] = layer.output.dense.weight.data[:, 0]
    masks = Masks(
        [torch.ones(tiny.HEADS, dtype=torch.bool)] * tiny.LAYERS,
        [torch.arange(tiny.FFN) < 9, *[torch.ones(tiny.FFN, dtype=torch.bool)] * 2],
    )
    sliced = slice_model(model, masks)
    before = sliced.bert.encoder.layer[0].output.dense.weight.clone()
    reconstruct(sliced, model, tiny.make_batches(40), how="scale")
    factors = (sliced.bert.encoder.layer[0].output.dense.weight / before).detach().mean(0)
    assert float(factors[0]) == pytest.approx(2.0, abs=0.2)
    torch.testing.assert_close(factors[1:], torch.ones(8), atol=0.2, rtol=0)


def test_padding_plays_no_part():
    model, batches = tiny.make_model(), tiny.make_batches(10)
    longer = [
        {
            "input_ids": torch.nn.functional.pad(b["input_ids"], (0, 4), value=7),
            "attention_mask": torch.nn.functional.pad(b["attention_mask"], (0, 4)),
        }
        for b in batches
    ]
    found = []
    for given in (batches, longer):
        sliced = cut(model, 2, 5)
        reconstruct(sliced, model, given)
        found.append(tiny.logits_of(sliced, tiny.make_batches()))
    torch.testing.assert_close(*found, atol=1e-4, rtol=0)
