"""Batches of rows of like length, padded to the longest of them.

Shapes: N rows, B rows of a batch, L its padded length in tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Required, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from distill.data.tokenized import TokenExamples
from distill.system.errors import DataError
from distill.text.encoding import attention_mask, pad

#: Batches over which rows are sorted by length: wide enough for little padding, narrow enough
#: that who shares a batch changes from epoch to epoch.
WINDOW = 50


class Order(TypedDict, total=False):
    """What orders an epoch, beside its rows; see :class:`BucketSampler`."""

    seed: Required[int]
    shuffle: bool
    rank: int
    world: int


@dataclass(eq=False)
class BucketSampler(Sampler[list[Any]]):
    """The batches of an epoch, rows of like length together, as a function of (seed, epoch, rank).

    Every row is in exactly one batch and no batch is a mere rest: with K batches each has N/K rows,
    give or take one. Every rank gets equally many batches; those of all ranks together are the ones
    that a single process has.

    Shuffled: rows are drawn in random order, windows of :data:`WINDOW` batches are sorted by
    length, and the batches are shuffled. Not shuffled: all rows by length, longest first.

    Raises:
        DataError: fewer rows than processes.
    """

    lengths: npt.NDArray[np.integer[Any]]  # tokens of each row, of shape (N,)
    # most rows of a batch of all ranks together. Only where a rank would go without a row (fewer
    # rows than ranks are left over) are batches larger.
    batch_size: int
    _: KW_ONLY
    seed: int
    shuffle: bool = True
    rank: int = 0
    world: int = 1
    epoch: int = field(default=0, init=False)
    _skip: tuple[int, int] = field(default=(0, 0), init=False)

    def __post_init__(self) -> None:
        self.lengths = np.asarray(self.lengths)
        rows = len(self.lengths)
        if 0 < rows < self.world:
            raise DataError(f"{rows} rows cannot be shared by {self.world} processes")
        self._batches = min(-(-rows // self.batch_size), rows // self.world)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def skip(self, batches: int, *, epoch: int) -> None:
        """Let the iteration of an epoch start behind so many batches (a resumed run)."""
        self._skip = (epoch, batches)

    def __len__(self) -> int:
        return self._batches

    @property
    def sampler(self) -> BucketSampler:
        """Itself: Lightning looks here for ``set_epoch`` and calls it at each epoch's start."""
        return self

    def __iter__(self) -> Iterator[list[Any]]:
        if not len(self):
            return
        # Cuts that make parts whose sizes differ by one at most, the larger ones first.
        size, larger = divmod(len(self.lengths), len(self))
        parts = np.arange(len(self) + 1)
        cuts = parts * size + np.minimum(parts, larger)
        order, batches = self._order(cuts)
        epoch, done = self._skip
        for k in batches[done if epoch == self.epoch else 0 :]:
            yield order[cuts[k] : cuts[k + 1]][self.rank :: self.world].tolist()

    def _order(
        self, cuts: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.integer[Any]], npt.NDArray[np.int64]]:
        """The epoch's rows, which are cut into batches, and the batches' order."""
        count = len(self)
        if not self.shuffle:
            return np.argsort(-self.lengths, kind="stable"), np.arange(count)
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(np.arange(len(self.lengths), dtype=np.int32))
        for first in range(0, count, WINDOW):
            start, end = cuts[first], cuts[min(first + WINDOW, count)]
            window = order[start:end]
            order[start:end] = window[np.argsort(self.lengths[window], kind="stable")]
        return order, random.permutation(count)


class GroupSampler(BucketSampler):
    """Batches of rows in which all rows of a group stand one behind another.

    Otherwise as :class:`BucketSampler`, of groups by their longest row.

    Args:
        lengths: tokens of each row, (N,).
        starts: the first row of each group, rising from 0.
        batch_size: most groups of a batch of all ranks; one at least.
        **order: see :class:`BucketSampler`.
    """

    def __init__(
        self,
        lengths: npt.NDArray[np.integer[Any]],
        starts: npt.NDArray[np.integer[Any]],
        batch_size: int,
        **order: Unpack[Order],
    ) -> None:
        self.cuts = np.append(starts, len(lengths)).tolist()
        super().__init__(np.maximum.reduceat(lengths, starts), max(1, batch_size), **order)

    def __iter__(self) -> Iterator[list[int]]:
        for groups in super().__iter__():
            yield [row for group in groups for row in range(*self.cuts[group : group + 2])]


class Collate:
    """Make a batch of examples: padded token by token, stacked, or kept as a list.

    Args:
        padded: what else has one value per token, and the value that fills it up.
        multiple_of: L is rounded up to a multiple of it; matrix kernels like 8.

    Example:
        >>> rows = [{"input_ids": [2, 7, 3], "token_type_ids": [0, 0, 0], "labels": 1, "index": 0}]
        >>> Collate(pad_id=0)(rows)["input_ids"].tolist()
        [[2, 7, 3, 0, 0, 0, 0, 0]]
    """

    def __init__(
        self, pad_id: int, padded: Mapping[str, int] | None = None, *, multiple_of: int = 8
    ) -> None:
        self.fill = {"input_ids": pad_id, "token_type_ids": 0, **(padded or {})}
        self.multiple_of = multiple_of

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Pad and stack items of :class:`~distill.data.tokenized.TokenExamples`.

        Returns:
            ``attention_mask`` (1 token, 0 padding), and everything that the rows have: int64 (B, L)
            what has a value per token, such as ``input_ids``; a tensor (B, ...) of numbers and
            arrays of one shape; a list of B of anything else.
        """
        inputs = [row["input_ids"] for row in rows]
        length = -(-max(map(len, inputs)) // self.multiple_of) * self.multiple_of
        batch: dict[str, Any] = {"attention_mask": torch.from_numpy(attention_mask(inputs, length))}
        for name, first in rows[0].items():
            values = [row[name] for row in rows]
            if name in self.fill:
                batch[name] = torch.from_numpy(pad(values, length, self.fill[name]))  # (B, L)
            elif isinstance(first, int | float | np.generic | np.ndarray):
                batch[name] = torch.from_numpy(np.stack([np.asarray(one) for one in values]))
            else:
                batch[name] = values
        return batch


def to_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """A batch with its tensors on a device; what is no tensor stays as it is."""
    return {
        name: value.to(device) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }


def make_sampler(rows: Any, batch_size: int, **order: Unpack[Order]) -> BucketSampler:
    """The order that rows bring along (unlabelled text), else a :class:`BucketSampler`."""
    if hasattr(rows, "sampler"):
        own: BucketSampler = rows.sampler(batch_size, **order)
        return own
    return BucketSampler(rows.lengths, batch_size, **order)


def make_collate(rows: Any) -> Collate:
    """What makes batches of a data set's examples."""
    return Collate(rows.pad_id, rows.padded)


def make_loader(
    dataset: TokenExamples,
    batch_size: int,
    *,
    seed: int,
    shuffle: bool,
) -> DataLoader[dict[str, Any]]:
    """A loader of bucketed batches; its ``batch_sampler`` is the :class:`BucketSampler`."""
    return DataLoader(
        dataset,
        batch_sampler=BucketSampler(dataset.lengths, batch_size, seed=seed, shuffle=shuffle),
        collate_fn=make_collate(dataset),
        # A generator of its own: otherwise each epoch would draw from torch's, and dropout after
        # it would depend on how often the loader was opened.
        generator=torch.Generator().manual_seed(seed),
    )
