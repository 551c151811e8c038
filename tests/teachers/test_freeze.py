"""Frozen is frozen."""

from __future__ import annotations

import pytest
import torch
from tiny_training import bert

from distill.system.errors import ModelError
from teachers.freeze import freeze, freeze_lower


def modes(model) -> set[bool]:
    return {module.training for module in model.modules()}


def test_eval_holds_whoever_calls_train() -> None:
    model = bert(layers=3).train()
    assert freeze(model) is model
    assert modes(model) == {False}
    assert model.train() is model
    model.bert.encoder.train(True)
    model.dropout.train()
    torch.nn.ModuleList([model]).train()
    assert modes(model) == {False}
    ids = torch.tensor([[3, 4, 5]])
    assert torch.equal(model(ids).logits, model(ids).logits)


def test_no_parameter_has_a_gradient_and_other_models_of_the_class_still_train() -> None:
    model = freeze(bert(layers=3))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model(torch.tensor([[3, 4]])).logits.requires_grad
    assert modes(bert(layers=3).train()) == {True}


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_lower_layers_and_embeddings_stay(layers) -> None:
    model = freeze_lower(bert(layers=3).train(), layers)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    expected = {
        name
        for name, _ in model.named_parameters()
        if name.startswith("bert.embeddings.")
        or any(name.startswith(f"bert.encoder.layer.{index}.") for index in range(layers))
    }
    assert frozen == expected
    assert modes(model) == {True}


def test_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(ModelError, match="4 layers cannot be frozen: the teacher has 3"):
        freeze_lower(bert(layers=3), 4)
