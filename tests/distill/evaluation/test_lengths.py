"""Inputs of one length, and of a task's real lengths."""

from __future__ import annotations

import numpy as np

from distill.evaluation.lengths import random_batch, real_batches

ROWS = [3] * 50 + [10] * 40 + [60] * 10


def test_inputs_fill_the_length_between_cls_and_sep():
    batch = random_batch(3, 12, vocab_size=30522, seed=1)
    assert {name: (a.shape, a.dtype.name) for name, a in batch.items()} == dict.fromkeys(
        ["input_ids", "attention_mask", "token_type_ids"], ((3, 12), "int64")
    )
    assert (batch["input_ids"][:, 0] == 101).all()
    assert (batch["input_ids"][:, -1] == 102).all()
    assert batch["attention_mask"].all()
    assert (random_batch(3, 12, vocab_size=30522, seed=1)["input_ids"] == batch["input_ids"]).all()
    assert random_batch(3, 12, vocab_size=50, seed=1)["input_ids"].max() < 50


def lengths(batches):
    return [int(batch["attention_mask"].sum()) for batch in batches]


def test_single_rows_have_the_lengths_of_the_rows():
    found = lengths(real_batches(ROWS, 1, 40, vocab_size=100, seed=0))
    assert set(found) == {3, 10, 60}
    assert abs(np.mean(found) - np.mean(ROWS)) < 3
    # The median first, and long and short ones among the first few already.
    assert found[0] == 10
    assert set(found[:16]) == {3, 10, 60}


def test_rows_of_a_batch_are_alike_and_padded_to_the_longest():
    batches = real_batches(ROWS, 8, 20, vocab_size=100, seed=0)
    for batch in batches:
        mask = batch["attention_mask"]
        assert mask.shape == batch["input_ids"].shape == batch["token_type_ids"].shape
        assert mask.sum(axis=1).max() == mask.shape[1]
        assert (batch["input_ids"][mask == 0] == 0).all()
    alike = [len(set(batch["attention_mask"].sum(axis=1).tolist())) for batch in batches]
    assert max(alike) <= 2
