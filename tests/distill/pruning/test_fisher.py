from __future__ import annotations

import itertools

import pytest
import tiny_pruning as tiny
import torch
from torch import nn

from distill.pruning.mask_gradients import MaskGradients, mask_gradients, rearrange
from distill.pruning.masks import Masks


def one_by_one(model, batches, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Finite differences: each example alone, each unit's output scaled a little up and down."""
    heads, ffn = [], []
    for batch in batches:
        for row in range(len(batch["input_ids"])):
            single = {name: value[row : row + 1] for name, value in batch.items()}
            parts = (
                (model.bert.encoder.layer[layer].attention.output.dense, tiny.HEAD_DIM, heads),
                (model.bert.encoder.layer[layer].output.dense, 1, ffn),
            )
            for dense, width, found in parts:
                units = range(dense.in_features // width)
                found.append([_slope(model, single, dense, unit, width) for unit in units])
    return torch.tensor(heads), torch.tensor(ffn)


def _slope(model, batch, dense: nn.Linear, unit: int, width: int, step: float = 1e-3):
    losses = []
    columns = slice(unit * width, (unit + 1) * width)
    kept = dense.weight.data[:, columns].clone()
    for factor in (1 + step, 1 - step):
        dense.weight.data[:, columns] = kept * factor
        with torch.no_grad():
            losses.append(float(tiny.loss_of(model, batch)))
    dense.weight.data[:, columns] = kept
    return (losses[0] - losses[1]) / (2 * step)


def test_gradients_are_those_of_each_example():
    model = tiny.make_model().double()
    batches = tiny.make_batches(2, dtype=torch.float64)
    found = mask_gradients(model, loss_of=tiny.loss_of, batches=batches, samples=8)
    assert [g.shape for g in found.heads] == [(8, tiny.HEADS)] * tiny.LAYERS
    assert [g.shape for g in found.ffn] == [(8, tiny.FFN)] * tiny.LAYERS
    for layer in range(tiny.LAYERS):
        heads, ffn = one_by_one(model, batches, layer)
        torch.testing.assert_close(found.heads[layer].double(), heads.double(), atol=1e-5, rtol=0)
        torch.testing.assert_close(found.ffn[layer].double(), ffn.double(), atol=1e-5, rtol=0)
    scores = found.diagonal()
    torch.testing.assert_close(scores.ffn[1], found.ffn[1].square().sum(0))


def test_the_model_is_left_as_it_was_and_samples_are_counted():
    model = tiny.make_model().train()
    model.bert.embeddings.requires_grad_(False)
    before = {name: (weight.clone(), weight.requires_grad)
              for name, weight in model.named_parameters()}  # fmt: skip
    batches = itertools.cycle(tiny.make_batches())
    found = mask_gradients(model, loss_of=tiny.loss_of, batches=batches, samples=10)
    assert len(found.heads[0]) == 12  # whole batches of 4
    assert model.training
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name][0]), name
        assert weight.requires_grad is before[name][1], name
        assert weight.grad is None, name
    assert not any(module._forward_pre_hooks for module in model.modules())


def lost(mask: torch.Tensor, gradients: torch.Tensor) -> float:
    """The quadratic form over the removed units: the squared length of their summed gradients."""
    return float(gradients.double()[:, ~mask].sum(1).square().sum())


@pytest.mark.parametrize("seed", range(4))
def test_rearranging_keeps_the_numbers_and_never_loses_more(seed):
    random = torch.Generator().manual_seed(seed)
    # Units in pairs that cancel or add up: the diagonal cannot see either.
    common = torch.randn(30, 5, generator=random)
    signs = torch.randint(0, 2, (5,), generator=random) * 2.0 - 1
    gradients = torch.cat([common, signs * common], 1)
    gradients += 0.1 * torch.randn(30, 10, generator=random)
    mask = torch.zeros(10, dtype=torch.bool)
    mask[gradients.square().sum(0).argsort(descending=True)[: 2 + seed % 7]] = True
    given = MaskGradients([gradients], [gradients])
    found = rearrange(Masks([mask], [mask]), given)
    assert found.heads_kept == [int(mask.sum())]
    assert lost(found.heads[0], gradients) <= lost(mask, gradients) + 1e-6


def test_a_unit_goes_with_another_that_cancels_it():
    # The diagonal removes the last two, which add up; the first cancels either of them.
    gradients = torch.tensor([[-1.1, 5.0, 1.0, 0.95], [-1.0, 5.0, 0.9, 0.95]])
    mask = torch.tensor([True, True, False, False])
    found = rearrange(Masks([mask], [mask]), MaskGradients([gradients], [gradients]))
    assert found.heads[0].tolist() in ([False, True, True, False], [False, True, False, True])
    assert lost(found.heads[0], gradients) < 0.1 < lost(mask, gradients)
    whole = torch.ones(4, dtype=torch.bool)
    same = rearrange(Masks([whole], [~whole]), MaskGradients([gradients], [gradients]))
    assert same.heads[0].all()
    assert not same.ffn[0].any()
