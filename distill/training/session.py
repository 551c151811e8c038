"""Where a training runs, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from distill.recipe.schema import TrainerConfig


@dataclass(frozen=True)
class FitSession:
    """Where and how a training runs.

    Args:
        folder: the stage's folder; checkpoints go to ``checkpoint/`` in it.
        name: the stage's name, shown to a person.
        seed: gives the order of the batches.
        trainer: the machine's part of the recipe.
        loggers: where curves go.
    """

    folder: Path
    name: str
    seed: int = 0
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    loggers: Sequence[Logger] = ()

    @property
    def checkpoints(self) -> Path:
        """The folder with what a stopped training goes on from."""
        return self.folder / "checkpoint"

    @property
    def last(self) -> Path:
        """The checkpoint that a stopped training goes on from."""
        return self.checkpoints / "last.ckpt"


@dataclass(frozen=True)
class FitResult:
    """What came of a training.

    Args:
        best_score: the best validation score; ``None`` where nothing chose.
        best_step: the optimiser step of the weights that were kept.
        steps: optimiser steps done.
        seconds: time spent, by this process and those before it.
        stopped_early: whether it ended for lack of a better score.
        history: the evaluations in order: ``step``, ``epoch``, ``metrics``.
    """

    best_score: float | None
    best_step: int
    steps: int
    seconds: float
    stopped_early: bool
    history: list[dict[str, Any]]
