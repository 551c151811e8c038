"""Where a training runs, and what a stopped one goes on from: one file, whole or not there."""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.loggers import Logger
from safetensors import SafetensorError, safe_open

from distill.recipe.schema import TrainerConfig
from distill.system import atomic
from distill.system.errors import RunFolderError

logger = logging.getLogger("distill")

#: What reading a damaged checkpoint raises.
_DAMAGED = (OSError, KeyError, RuntimeError, EOFError, ValueError, TypeError, UnpicklingError)


@dataclass(frozen=True)
class FitSession:
    """Where and how a training runs."""

    folder: Path  # the stage's folder; checkpoints go to ``checkpoint/`` in it
    name: str  # the stage's name, shown to a person
    seed: int = 0  # gives the order of the batches
    # the machine's part of the recipe
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    loggers: Sequence[Logger] = ()  # where curves go

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
    """What came of a training."""

    best_score: float | None  # the best validation score; ``None`` where nothing chose
    best_step: int  # the optimiser step of the weights that were kept
    steps: int  # optimiser steps done
    seconds: float  # time spent, by this process and those before it
    stopped_early: bool  # whether it ended for lack of a better score
    history: list[dict[str, Any]]  # the evaluations in order: ``step``, ``epoch``, ``metrics``


class AtomicCheckpoint(TorchCheckpointIO):
    """Writes under another name and renames."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        # Through a Python file: a full disk then raises the OSError it is.
        with atomic.new_file(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)


def read_checkpoint(path: str | Path, *, mmap: bool = False) -> dict[str, Any]:
    """A checkpoint, read without running anything that stands in it."""
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    return content


def is_whole(weights: Path) -> bool:
    """Whether a file of weights is there and as long as its header says."""
    try:
        with safe_open(weights, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False


def stopped_states(session: FitSession, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """The states of a stopped training's callbacks, by their class, and its step as ``step``.

    The folder is made, and left without the half-written files of a killed process; where the best
    weights are missing or cut short, without anything.

    Args:
        session: of the training.
        fingerprint: the state that ``LastCheckpoint`` must have.

    Returns:
        Nothing where the training begins.

    Raises:
        RunFolderError: the checkpoint is of a training with other data, length or seed, or it
            cannot be read.
    """
    folder, path = session.checkpoints, session.last
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*"):
        leftover.unlink()
    if not path.is_file():
        return {}
    try:
        # Memory-mapped, so that weights and optimiser are not read for these few numbers.
        checkpoint = read_checkpoint(path, mmap=True)
        # Lightning writes ``ModelCheckpoint{'monitor': ...}`` where there may be several.
        states = {key.partition("{")[0]: state for key, state in checkpoint["callbacks"].items()}
        states["step"] = checkpoint["global_step"]
        same = states["LastCheckpoint"] == fingerprint
    except _DAMAGED as error:
        raise RunFolderError(
            f"{path}: not a checkpoint this version can go on from; remove it to start over"
        ) from error
    if not same:
        raise RunFolderError(
            f"{path}: belongs to a training with other data, length or seed; remove it to start "
            "over"
        )
    best = states.get("ModelCheckpoint", {}).get("best_model_path")
    if best and not zipfile.is_zipfile(file := folder / Path(best).name):
        logger.warning(
            "%s: %s is missing or damaged; the training begins again", session.name, file
        )
        shutil.rmtree(folder)
        folder.mkdir()
        return {}
    return states
