from __future__ import annotations

import torch

from distill.modules.meter import Meter


def test_means_since_the_last_call() -> None:
    meter = Meter()
    assert meter.take() == {}
    for value in (1.0, 2.0, 6.0):
        meter.add({"loss": torch.tensor(value), "part": torch.tensor(2 * value)})
    assert meter.take() == {"loss": 3.0, "part": 6.0}
    assert meter.take() == {}


def test_sums_do_not_change_what_was_added_and_outlive_a_checkpoint() -> None:
    meter, value = Meter(), torch.tensor(1.0)
    meter.add({"loss": value})
    meter.add({"loss": value})
    assert value.item() == 1.0
    again = Meter.of_plain(meter.as_plain())
    again.add({"loss": torch.tensor(4.0)})
    assert again.take() == {"loss": 2.0}
    assert meter.take() == {"loss": 1.0}
