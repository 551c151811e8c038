from __future__ import annotations

from itertools import chain, islice
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.data.batches import BucketSampler
from distill.training.stream import EpochStream, Plan, endless_batches


@pytest.mark.parametrize("start", [0, 1, 6, 7, 8, 13, 20, 21])
def test_stream_entered_anywhere_is_the_rest_of_the_whole(start: int) -> None:
    lengths = np.random.default_rng(0).integers(3, 30, 50)

    def stream(first: int) -> EpochStream:
        return EpochStream(BucketSampler(lengths, 8, seed=3), epochs=3, start=first)

    whole = list(stream(0))
    assert len(whole) == len(stream(0)) == 21
    assert whole[:7] != whole[7:14]
    for epoch in range(3):
        assert sorted(chain.from_iterable(whole[7 * epoch : 7 * epoch + 7])) == list(range(50))
    rest = stream(start)
    assert list(rest) == whole[start:]
    assert len(rest) == 21 - start


@given(
    batches=st.integers(1, 40),
    epochs=st.integers(1, 5),
    accumulate=st.integers(1, 7),
    parts=st.integers(1, 6),
)
def test_plan_agrees_with_counting(batches: int, epochs: int, accumulate: int, parts: int) -> None:
    plan = Plan(batches, epochs, accumulate, parts)
    steps, ended = 0, []
    for position in range(1, plan.positions + 1):
        if plan.is_step(position):
            steps += 1
            assert plan.step_at(position) == steps
            if plan.ends_epoch(steps):
                ended.append(position)
    assert steps == plan.steps
    due = plan.evaluation_steps()
    assert max(due) == plan.steps
    assert min(due) >= 1
    assert len(due) <= parts * epochs
    for epoch in range(1, epochs + 1):
        assert plan.step_at(epoch * batches) in due
    assert len(ended) == len({plan.step_at(epoch * batches) for epoch in range(1, epochs + 1)})


class Rows:
    """Ten rows of one token each."""

    pad_id = 0
    padded: ClassVar[dict[str, int]] = {}
    lengths = np.ones(10, dtype=np.int64)

    def __getitem__(self, index: int) -> dict[str, Any]:
        one = np.ones(1, dtype=np.int64)
        return {"index": index, "input_ids": one, "token_type_ids": 0 * one, "labels": 0}


def test_endless_batches_change_their_order_with_every_pass() -> None:
    batches = [b["index"].tolist() for b in islice(endless_batches(Rows(), 3, seed=1), 12)]
    passes = [list(chain.from_iterable(batches[at : at + 4])) for at in (0, 4, 8)]
    assert all(sorted(rows) == list(range(10)) for rows in passes)
    assert len(set(map(tuple, passes))) == 3
    again = [b["index"].tolist() for b in islice(endless_batches(Rows(), 3, seed=1), 12)]
    assert again == batches
