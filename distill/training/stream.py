"""The batches of a whole training as one stream that can be entered anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from distill.data.batches import EpochSampler, make_collate, make_sampler
from distill.recipe.schema import TrainConfig

_ENDLESS = 2**31  # epochs


@dataclass(frozen=True)
class Plan:
    """How a training is divided: batches, optimiser steps, evaluations.

    Args:
        batches: batches in an epoch.
        epochs: passes over the data.
        accumulate: batches whose gradients make one optimiser step.
        evaluations_per_epoch: evaluations in an epoch, the last one at its end; in the whole
            training where ``limit`` is given.
        limit: optimiser steps after which the training ends; ``epochs`` are then as many as it
            takes.
    """

    batches: int
    epochs: int
    accumulate: int = 1
    evaluations_per_epoch: int = 1
    limit: int | None = None

    @classmethod
    def of(cls, config: TrainConfig, batches: int) -> Plan:
        """The plan of a training with so many batches in an epoch."""
        epochs = config.epochs
        if config.max_steps is not None:
            epochs = math.ceil(config.max_steps * config.accumulate_grad_batches / max(batches, 1))
        return cls(
            batches,
            epochs,
            config.accumulate_grad_batches,
            config.evaluations_per_epoch,
            limit=config.max_steps,
        )

    @property
    def positions(self) -> int:
        """Batches in the whole training."""
        if self.limit is not None:
            return self.limit * self.accumulate
        return self.batches * self.epochs

    @property
    def steps(self) -> int:
        """Optimiser steps in the whole training; the last one may have fewer batches."""
        return math.ceil(self.positions / self.accumulate)

    def is_step(self, position: int) -> bool:
        """Whether an optimiser step ends with the ``position``-th batch, counted from 1."""
        return position % self.accumulate == 0 or position == self.positions

    def step_at(self, position: int) -> int:
        """Optimiser steps done after ``position`` batches, at the end of one."""
        return math.ceil(position / self.accumulate)

    def epoch_at(self, position: int) -> float:
        """Epochs done after ``position`` batches."""
        return position / self.batches

    def ends_epoch(self, step: int) -> int | None:
        """The epoch, counted from 1, whose last batch is in this optimiser step."""
        first, last = (step - 1) * self.accumulate, min(step * self.accumulate, self.positions)
        epoch = last // self.batches
        return epoch if epoch * self.batches > first else None

    def evaluation_steps(self) -> frozenset[int]:
        """The optimiser steps after which the model is scored, evenly spaced in every epoch.

        Where steps are counted in place of epochs: in the whole training.
        """
        parts = self.evaluations_per_epoch
        if self.limit is not None:
            return frozenset(max(1, round(k * self.limit / parts)) for k in range(1, parts + 1))
        at = (
            epoch * self.batches + round(part * self.batches / parts)
            for epoch in range(self.epochs)
            for part in range(1, parts + 1)
        )
        return frozenset(self.step_at(position) for position in at if position > 0)


class EpochStream(Sampler[list[int]]):
    """The batches of all epochs one after another, from ``start`` on.

    Lightning sees one long epoch. Its own way of entering an epoch in the middle depends on where
    the checkpoint was taken and on what ran there; here the position is the only state.

    Args:
        batches: gives an epoch's batches as a function of (seed, epoch).
        epochs: how many there are.
        start: batches to leave out, as they were trained on before.
        end: batches after which it ends, those left out included; ``None`` gives all.
    """

    def __init__(
        self, batches: EpochSampler[Any], *, epochs: int, start: int = 0, end: int | None = None
    ) -> None:
        # Not named ``sampler``: Lightning would set its own epoch, always 0, on an attribute so
        # called.
        self.batches = batches
        self.epochs = epochs
        self.start = start
        self.end = epochs * len(batches) if end is None else min(end, epochs * len(batches))

    def __len__(self) -> int:
        return max(0, self.end - self.start)

    def __iter__(self) -> Iterator[list[int]]:
        first, done = divmod(self.start, len(self.batches))
        left = len(self)
        for epoch in range(first, self.epochs):
            self.batches.set_epoch(epoch)
            self.batches.skip(done if epoch == first else 0)
            for batch in self.batches:
                if left == 0:
                    return
                left -= 1
                yield batch


def endless_batches(rows: Any, batch_size: int, *, seed: int) -> Iterator[dict[str, Any]]:
    """Batches without end, every pass over the rows in an order of its own.

    Args:
        rows: tokenised rows.
        batch_size: most rows of a batch.
        seed: seeds the orders.
    """
    stream = EpochStream(make_sampler(rows, batch_size, seed=seed), epochs=_ENDLESS)
    yield from DataLoader(
        rows,
        batch_sampler=stream,
        collate_fn=make_collate(rows),
        # Of its own, so that what is drawn elsewhere does not depend on the loader's being opened.
        generator=torch.Generator().manual_seed(seed),
    )
