"""Means of losses that outlive a checkpoint."""

from __future__ import annotations

import torch

from distill.training.callbacks import Meter


def test_means_since_the_last_reset() -> None:
    meter = Meter()
    assert meter.means() == {}
    for value in (1.0, 2.0, 6.0):
        meter.add({"loss": torch.tensor(value), "part": torch.tensor(2 * value)})
    assert meter.means() == {"loss": 3.0, "part": 6.0}
    meter.reset()
    assert meter.means() == {}


def test_sums_do_not_change_what_was_added_and_outlive_a_checkpoint() -> None:
    meter, value = Meter(), torch.tensor(1.0)
    meter.add({"loss": value})
    meter.add({"loss": value})
    assert value.item() == 1.0
    again = Meter(**meter.state_dict())
    again.add({"loss": torch.tensor(4.0)})
    assert again.means() == {"loss": 2.0}
    assert meter.means() == {"loss": 1.0}
