"""Projections start as the identity and are keyed by student layer."""

from __future__ import annotations

import pytest
import torch

from distill.capture.projection import Projections
from distill.system.errors import ModelError


def test_starts_as_the_identity_and_draws_no_random_numbers() -> None:
    state = torch.get_rng_state()
    project = Projections(4, 6, layers=[0, 1])
    assert torch.equal(torch.get_rng_state(), state)
    hidden = torch.randn(2, 3, 4)
    projected = project(hidden, 1)
    assert torch.equal(projected[..., :4], hidden)
    assert torch.equal(projected[..., 4:], torch.zeros(2, 3, 2))
    square = Projections(4, 4, layers=[1])
    assert torch.equal(square(hidden, 1), hidden)


def test_unknown_layers_are_told() -> None:
    with pytest.raises(ModelError, match="no map for layer 3; known: 1"):
        Projections(4, 6, layers=[1])(torch.zeros(1, 1, 4), 3)
