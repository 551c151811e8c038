"""What a stopped training goes on from: one file, whole or not there, without the teacher."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError, safe_open

from distill.system import atomic
from distill.system.errors import RunFolderError

#: What reading a damaged checkpoint raises.
_DAMAGED = (OSError, KeyError, RuntimeError, EOFError, ValueError, TypeError, UnpicklingError)


class AtomicCheckpoint(CheckpointIO):
    """Writes under another name and renames; reads tensors and plain values only."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        # Through a Python file: a full disk then raises the OSError it is.
        with atomic.new_file(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[[Any, str], Any] | None = lambda storage, _: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint without running anything that stands in it."""
        content: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def is_whole(weights: Path) -> bool:
    """Whether a file of weights is there and as long as its header says."""
    try:
        with safe_open(weights, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False


def read_states(path: Path, fingerprint: dict[str, Any]) -> dict[str, Any] | None:
    """The states of a stopped training's callbacks, by their class, and its step as ``step``.

    Args:
        path: the checkpoint.
        fingerprint: the state that ``LastCheckpoint`` must have.

    Returns:
        ``None`` where there is no checkpoint.

    Raises:
        RunFolderError: the checkpoint is of a training with other data, length or seed, or it
            cannot be read.
    """
    if not path.is_file():
        return None
    try:
        # Memory-mapped, so that weights and optimiser are not read for these few numbers.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        # Lightning writes ``ModelCheckpoint{'monitor': ...}`` where there may be several.
        states = {key.partition("{")[0]: state for key, state in checkpoint["callbacks"].items()}
        states |= {"step": checkpoint["global_step"]}
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
    return states


def damaged_best(states: dict[str, Any], folder: Path) -> Path | None:
    """The best weights that a checkpoint names, where their file is missing or cut short."""
    best = states.get("ModelCheckpoint", {}).get("best_model_path")
    if not best:
        return None
    file = folder / Path(best).name
    return None if zipfile.is_zipfile(file) else file


def clear(folder: Path, *, everything: bool) -> None:
    """Make the folder of checkpoints, without the half-written files of a killed process."""
    if everything:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*"):
        leftover.unlink()
