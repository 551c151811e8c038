"""Batches that are gone on with anywhere, and how many steps and validations they make."""

from __future__ import annotations

from itertools import chain, islice
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.section import TrainConfig
from distill.training.data import (
    TrainingData,
    batches_between_validations,
    endless_batches,
    total_steps,
    total_validations,
)


class Rows:
    """Ten rows of one token each."""

    pad_id = 0
    padded: ClassVar[dict[str, int]] = {}
    lengths = np.ones(10, dtype=np.int64)

    def __getitem__(self, index: int) -> dict[str, Any]:
        one = np.ones(1, dtype=np.int64)
        return {"index": index, "input_ids": one, "token_type_ids": 0 * one, "labels": 0}


def epoch(data: TrainingData, number: int) -> list[list[int]]:
    loader = data.train_dataloader()
    loader.batch_sampler.sampler.set_epoch(number)  # as Lightning does
    return [batch["index"].tolist() for batch in loader]


@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_data_gone_on_with_anywhere_are_the_rest_of_the_whole(done: int) -> None:
    whole = TrainingData(Rows(), None, batch_size=3, seed=2)
    epochs = [epoch(whole, number) for number in range(3)]
    assert all(sorted(chain.from_iterable(one)) == list(range(10)) for one in epochs)
    assert epochs[0] != epochs[1]
    rest = TrainingData(Rows(), None, batch_size=3, seed=2)
    rest.load_state_dict({"epoch": 1, "batches": done})
    assert len(rest.train_dataloader()) == 4
    assert epoch(rest, 1) == epochs[1][done:]
    assert epoch(rest, 2) == epochs[2]


@given(
    batches=st.integers(1, 40),
    epochs=st.integers(1, 5),
    accumulate=st.integers(1, 7),
    interval=st.one_of(st.integers(1, 50), st.floats(0.01, 1.0)),
    max_steps=st.one_of(st.none(), st.integers(1, 50)),
)
def test_counts_agree_with_counting(
    batches: int, epochs: int, accumulate: int, interval: float, max_steps: int | None
) -> None:
    config = TrainConfig(
        epochs=epochs,
        accumulate_grad_batches=accumulate,
        val_check_interval=interval,
        max_steps=max_steps,
    )
    between = batches_between_validations(config, batches)
    total, steps, scored = total_steps(config, batches), 0, []
    position = 0
    while steps < total:
        position += 1
        in_epoch = (position - 1) % batches + 1
        steps += in_epoch % accumulate == 0 or in_epoch == batches
        due = (position if isinstance(interval, int) else in_epoch) % between == 0
        scored += [position] * (due or steps == total)
    assert max_steps is not None or position == epochs * batches
    assert total_validations(config, batches) == len(scored)


def test_endless_batches_change_their_order_with_every_pass() -> None:
    batches = [b["index"].tolist() for b in islice(endless_batches(Rows(), 3, seed=1), 12)]
    passes = [list(chain.from_iterable(batches[at : at + 4])) for at in (0, 4, 8)]
    assert all(sorted(rows) == list(range(10)) for rows in passes)
    assert len(set(map(tuple, passes))) == 3
    again = [b["index"].tolist() for b in islice(endless_batches(Rows(), 3, seed=1), 12)]
    assert again == batches
