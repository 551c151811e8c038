"""A random order of any number of rows that is computed, not stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Unpack

import numpy as np
import numpy.typing as npt

from distill.data.batches import WINDOW, EpochSampler, Order

_ROUNDS = 6
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

#: What a row is asked for by: (epoch, number). A row may differ from epoch to epoch.
Key = tuple[int, int]


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finaliser."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * _M1
        values = (values ^ (values >> np.uint64(27))) * _M2
    return values ^ (values >> np.uint64(31))


def permuted(positions: npt.NDArray[np.int64], size: int, *, key: int) -> npt.NDArray[np.int64]:
    """What stands at some positions of a random permutation of ``range(size)``.

    A Feistel network over the smallest square that holds ``size``, walked until inside: nothing
    is stored, whatever the size.

    Args:
        positions: which, each below ``size``; of any shape.
        size: the permutation's length.
        key: chooses the permutation.

    Reference:
        Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains.
    """
    half = np.uint64(max(1, -(-(size - 1).bit_length() // 2)))
    mask = np.uint64((1 << int(half)) - 1)
    found = positions.astype(np.uint64)
    outside = np.ones(found.shape, dtype=bool)
    while outside.any():
        values = found[outside]
        left, right = values >> half, values & mask
        for turn in range(_ROUNDS):
            salt = np.uint64((key * 0x9E3779B97F4A7C15 + turn * 0xD1B54A32D192ED03) % (1 << 64))
            left, right = right, left ^ (_mixed(right ^ salt) & mask)
        found[outside] = (left << half) | right
        outside = found >= np.uint64(size)
    return found.astype(np.int64)


class TextSampler(EpochSampler[Key]):
    """Batches of an unlabelled text's rows, every row exactly once an epoch, in constant memory.

    Shuffled: the order is a :func:`permuted` one of (seed, epoch), windows of :data:`WINDOW`
    batches are sorted by length, and their batches are shuffled. Not shuffled: as they stand.
    Rows are given as :data:`Key`.

    Args:
        rows: (N, 4), see :mod:`distill.data.text.packing`.
        batch_size: see :class:`distill.data.batches.EpochSampler`.
        **order: ``seed``, ``shuffle``, ``rank`` and ``world``, see there.

    Raises:
        DataError: fewer rows than processes.
    """

    def __init__(
        self, rows: npt.NDArray[np.int64], batch_size: int, **order: Unpack[Order]
    ) -> None:
        super().__init__(len(rows), batch_size, **order)
        self.rows = rows

    def __iter__(self) -> Iterator[list[Key]]:
        skip = self._skipped()
        for first in range(skip // WINDOW * WINDOW, self._batches, WINDOW):
            for batch in self._window(first)[max(0, skip - first) :]:
                yield [(self.epoch, row) for row in batch[self.rank :: self.world].tolist()]

    def _cut(self, batch: int) -> int:
        """The position that a batch begins at: equal parts, give or take one."""
        return batch * len(self.rows) // self._batches

    def _window(self, first: int) -> list[npt.NDArray[np.int64]]:
        """The batches of one window, each of all ranks together."""
        last = min(first + WINDOW, self._batches)
        cuts = np.array([self._cut(batch) for batch in range(first, last + 1)])
        rows = np.arange(cuts[0], cuts[-1])
        cuts -= cuts[0]
        turns = np.arange(last - first)
        if self.shuffle:
            random = np.random.default_rng([self.seed, self.epoch, first])
            turns = random.permutation(turns)
            key = int(np.random.default_rng([self.seed, self.epoch]).integers(1 << 62))
            rows = permuted(rows, len(self.rows), key=key)
            lengths = self.rows[rows, 2] - self.rows[rows, 0]
            rows = rows[np.argsort(lengths, kind="stable")]
        return [rows[cuts[turn] : cuts[turn + 1]] for turn in turns]
