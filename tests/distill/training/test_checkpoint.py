"""Which weights are the best, and means of losses that outlive a checkpoint."""

from __future__ import annotations

import math

import torch

from distill.training.checkpoint import Meter, Selection


def test_the_first_of_equal_scores_is_the_best() -> None:
    best = Selection()
    assert [best.offer(score, step) for step, score in enumerate([0.1, 0.3, 0.3, math.nan])] == [
        True, True, False, False,
    ]  # fmt: skip
    assert (best.score, best.step, best.worse) == (0.3, 1, 2)


def test_a_score_that_is_not_defined_is_worse_than_any_that_is() -> None:
    best = Selection()
    assert best.offer(0.0, 1, defined=False)
    assert best.offer(-0.2, 2)
    assert not best.offer(0.0, 3, defined=False)
    assert best.offer(-0.1, 4)
    assert (best.score, best.step) == (-0.1, 4)


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
