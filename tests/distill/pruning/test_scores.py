import itertools

import pytest
import torch
from tiny_pruning import FFN, HEAD_DIM, HEADS, loss_of, make_batches, make_model

from distill.pruning.mask_gradients import mask_gradients
from distill.pruning.methods.l1 import l1_scores
from distill.pruning.methods.movement import movement_scores
from distill.pruning.methods.taylor import taylor_scores
from distill.system.errors import ModelError

LAYERS = 2


@pytest.fixture
def model():
    return make_model(layers=LAYERS).train()


@pytest.fixture
def batches():
    return make_batches()


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


def test_l1_is_the_magnitude_of_the_rows(model):
    scores = l1_scores(model)
    for index, layer in enumerate(model.bert.encoder.layer):
        own = layer.attention.self
        rows = sum(part.weight.abs().sum(1) for part in (own.query, own.key, own.value))
        heads = rows.reshape(HEADS, HEAD_DIM).sum(1).detach()
        torch.testing.assert_close(scores.heads[index], heads, rtol=1e-6, atol=0)
        neurons = layer.intermediate.dense.weight.abs().sum(1).detach()
        torch.testing.assert_close(scores.ffn[index], neurons, rtol=1e-6, atol=0)


def every(model, batches):
    """Each method's scores, by the same number of batches."""
    given = {"loss_of": loss_of, "batches": batches, "steps": 3}
    yield taylor_scores(model, **given)
    yield l1_scores(model)
    torch.manual_seed(0)
    yield movement_scores(model, lr=1e-3, **given)[0]


def test_the_model_is_left_as_it_was_and_scores_are_the_same_again(model, batches):
    model.train()
    model.bert.pooler.dense.weight.requires_grad_(False)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    needed = {name: weight.requires_grad for name, weight in model.named_parameters()}
    first = list(every(model, itertools.cycle(batches)))
    assert model.training
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]), name
        assert weight.requires_grad == needed[name], name
        assert weight.grad is None, name
    for one, other in zip(first, every(model, batches), strict=True):
        for here, there in zip(one.heads + one.ffn, other.heads + other.ffn, strict=True):
            assert torch.equal(here, there)


def test_movement_follows_the_gradient_of_the_masks(model, batches):
    """After one step of Adam every score has gone its learning rate down the mask's gradient."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    scores, trained = movement_scores(model, loss_of=loss_of, batches=batches, steps=1, lr=1e-3)
    slopes = mask_gradients(model, loss_of=loss_of, batches=batches, samples=4)
    for found, slope in zip(scores.heads + scores.ffn, slopes.heads + slopes.ffn, strict=True):
        expected = (-1e-2 * slope.sum(0).sign()).sigmoid()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    changed = [
        not torch.equal(a, b) for a, b in zip(model.parameters(), trained.parameters(), strict=True)
    ]
    assert any(changed)


def test_scores_that_are_not_numbers_are_refused(model, batches):
    model.classifier.weight.data.fill_(float("nan"))
    model.bert.encoder.layer[0].attention.self.query.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="not numbers"):
        taylor_scores(model, loss_of=loss_of, batches=batches, steps=3)
    with pytest.raises(ModelError, match="not numbers"):
        l1_scores(model)
