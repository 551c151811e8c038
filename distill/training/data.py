"""The batches of a training, which can be gone on with at any of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, cast

import lightning as L
import torch
from torch.utils.data import DataLoader, Sampler

from distill.data.batches import BucketSampler, make_collate, make_sampler
from distill.data.text.rows import TextSequences
from distill.data.tokenized import TokenExamples
from distill.recipe.schema import TrainConfig
from distill.system import distributed

Rows = TokenExamples | TextSequences


def total_steps(config: TrainConfig, batches: int) -> int:
    """Optimiser steps of a training with so many batches in an epoch."""
    return config.max_steps or config.epochs * math.ceil(batches / config.accumulate_grad_batches)


def batches_between_validations(config: TrainConfig, batches: int) -> int:
    """Batches from one validation to the next; at least those of one optimiser step."""
    interval = config.val_check_interval
    if isinstance(interval, float):
        interval = min(batches, int(interval * batches))
    return max(interval, min(batches, config.accumulate_grad_batches), 1)


def total_validations(config: TrainConfig, batches: int) -> int:
    """Validations of a training with so many batches in an epoch, the one at its end included."""
    between = batches_between_validations(config, batches)
    accumulate = config.accumulate_grad_batches
    epochs, steps = divmod(total_steps(config, batches), math.ceil(batches / accumulate))
    rest = min(batches, steps * accumulate)  # of an epoch that ends with the training
    if isinstance(config.val_check_interval, float):  # counted in each epoch anew
        last, due = rest or batches, epochs * (batches // between) + rest // between
    else:
        last = epochs * batches + rest
        due = last // between
    return due + (last % between > 0)


class TrainingData(L.LightningDataModule):
    """The rows of a training, in batches of rows of like length.

    An epoch's batches are a function of (seed, epoch, process), so that a checkpoint says with two
    numbers, the epoch and the batches done in it, what is still to come.

    Args:
        train: the rows to train on.
        validation: the rows that choose, if any.
        batch_size: most rows of a batch of all processes together.
        seed: seeds the order.
    """

    def __init__(self, train: Rows, validation: Rows | None, *, batch_size: int, seed: int) -> None:
        super().__init__()
        self.train, self.validation = train, validation
        self.batch_size, self.seed = batch_size, seed
        self._order = self._sampler(train, seed=seed)

    def train_dataloader(self) -> DataLoader[Any]:
        """The training batches of this process; those done before a stop are left out."""
        return _loader(self.train, self._order, seed=self.seed)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """The validation batches of this process; all processes together have every row once."""
        if self.validation is None:
            return []
        sampler = self._sampler(self.validation, seed=0, shuffle=False)
        return _loader(self.validation, sampler, seed=0)

    def state_dict(self) -> dict[str, Any]:
        """How far the training is, for a checkpoint."""
        trainer = cast(L.Trainer, self.trainer)
        progress = trainer.fit_loop.epoch_loop.batch_progress.current
        return {"epoch": trainer.current_epoch, "batches": progress.ready}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._order.skip(state_dict["batches"], epoch=state_dict["epoch"])

    def _sampler(self, rows: Rows, *, seed: int, shuffle: bool = True) -> BucketSampler:
        return make_sampler(
            rows,
            self.batch_size,
            seed=seed,
            shuffle=shuffle,
            rank=distributed.rank(),
            world=distributed.world_size(),
        )


def endless_batches(rows: Any, batch_size: int, *, seed: int) -> Iterator[dict[str, Any]]:
    """Batches without end, every pass over the rows in an order of its own.

    Args:
        rows: tokenised rows.
        batch_size: most rows of a batch.
        seed: seeds the orders.
    """
    sampler = make_sampler(rows, batch_size, seed=seed)
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        yield from _loader(rows, sampler, seed=seed)


def _loader(rows: Any, sampler: Sampler[list[Any]], *, seed: int) -> DataLoader[Any]:
    return DataLoader(
        rows,
        batch_sampler=sampler,
        collate_fn=make_collate(rows),
        # Of its own, so that what is drawn elsewhere does not depend on the loader's being opened.
        generator=torch.Generator().manual_seed(seed),
    )
