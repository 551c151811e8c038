from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from distill.data.batches import WINDOW
from distill.data.text.order import TextSampler, permuted
from distill.errors import DataError


@pytest.mark.parametrize("size", [1, 2, 3, 16, 17, 1000, 65_537])
def test_a_permutation_without_a_table(size: int) -> None:
    found = permuted(np.arange(size), size, key=3)
    assert sorted(found.tolist()) == list(range(size))
    part = permuted(np.arange(size)[size // 2 :], size, key=3)
    assert part.tolist() == found[size // 2 :].tolist()


def test_permutations_are_random_and_differ_by_key() -> None:
    size = 20_000
    a, b = (permuted(np.arange(size), size, key=key) for key in (0, 1))
    for found in (a, b):
        assert abs(np.corrcoef(np.arange(size), found)[0, 1]) < 0.03
        assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.03
    assert (a == b).mean() < 0.001


def rows(count: int) -> np.ndarray:
    lengths = np.random.default_rng(0).integers(4, 100, count)
    ends = np.cumsum(lengths)
    return np.stack([ends - lengths, ends, ends], axis=1)


def keys(sampler: TextSampler) -> list[list[tuple[int, int]]]:
    return list(sampler)


@pytest.mark.parametrize(("count", "size"), [(1, 4), (7, 4), (1000, 16), (4321, 8)])
def test_every_row_once_an_epoch(count: int, size: int) -> None:
    sampler = TextSampler(rows(count), size, seed=1)
    batches = keys(sampler)
    assert len(batches) == len(sampler) == -(-count // size)
    assert sorted(key for batch in batches for key in batch) == [(0, n) for n in range(count)]
    sizes = {len(batch) for batch in batches}
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    sampler.set_epoch(1)
    again = keys(sampler)
    assert {epoch for batch in again for epoch, _ in batch} == {1}
    if count >= 1000:
        assert [[n for _, n in b] for b in again] != [[n for _, n in b] for b in batches]


def test_the_order_is_a_function_of_seed_epoch_and_rank() -> None:
    table = rows(3000)
    for shuffle in (True, False):
        whole = TextSampler(table, 16, seed=5, shuffle=shuffle)
        whole.set_epoch(3)
        batches = keys(whole)
        # Entered anywhere, it goes on the same.
        for skip in (1, WINDOW - 1, WINDOW, WINDOW + 7, len(whole)):
            whole.skip(skip)
            assert keys(whole) == batches[skip:]
        parts = []
        for rank in range(2):
            part = TextSampler(table, 8, seed=5, shuffle=shuffle, rank=rank, world=2)
            part.set_epoch(3)
            parts.append(keys(part))
        assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(b) for b in batches]


def test_batches_are_of_like_length() -> None:
    table = rows(16 * WINDOW)
    lengths = table[:, 2] - table[:, 0]
    spans = [np.ptp(lengths[[n for _, n in batch]]) for batch in TextSampler(table, 16, seed=0)]
    assert np.mean(spans) < 5  # of a range of 96


def test_memory_does_not_grow_with_the_rows() -> None:
    table = np.broadcast_to(np.array([0, 5, 9]), (50_000_000, 3))
    tracemalloc.start()
    batches = iter(TextSampler(table, 32, seed=0))
    for _ in range(200):
        next(batches)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6


def test_fewer_rows_than_processes() -> None:
    with pytest.raises(DataError, match="1 rows cannot be shared by 2 processes"):
        TextSampler(rows(1), 4, seed=0, world=2)
