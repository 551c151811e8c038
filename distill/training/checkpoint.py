"""What a stopped training goes on from: one file, whole or not there, without the teacher."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError, safe_open
from torch import Tensor

from distill.system import atomic, distributed
from distill.system.errors import RunFolderError
from distill.training.stream import Plan

_KEY = "distill"
#: What reading a damaged checkpoint raises.
_DAMAGED = (OSError, KeyError, RuntimeError, EOFError, ValueError, TypeError, UnpicklingError)


@dataclass
class Selection:
    """The best score so far.

    A score must be strictly better to take the place of an earlier one, so that of equal ones the
    first wins, whatever comes after it. A score that is not a number is never better, and one that
    is not defined, which counts as 0, never better than one that is.

    Args:
        score: the best score, or ``None`` before the first evaluation.
        step: the optimiser step it was reached at.
        worse: evaluations since then.
        defined: whether the best score is defined.
    """

    score: float | None = None
    step: int = 0
    worse: int = 0
    defined: bool = False

    def offer(self, score: float, step: int, *, defined: bool = True) -> bool:
        """Take a score into account; whether it is the best so far."""
        if not math.isnan(score) and (
            self.score is None or (defined, score) > (self.defined, self.score)
        ):
            self.score, self.step, self.worse, self.defined = score, step, 0, defined
            return True
        self.worse += 1
        return False

    def is_out_of_patience(self, patience: int | None) -> bool:
        """Whether so many evaluations have passed without a better score."""
        return patience is not None and self.worse >= patience


class Meter:
    """Sums of named scalars.

    Adding one neither copies it to the host nor waits for it; :meth:`take` fetches all means in
    one transfer.
    """

    def __init__(self, sums: dict[str, Tensor] | None = None, count: int = 0) -> None:
        self.sums: dict[str, Tensor] = sums or {}
        self.count = count

    def add(self, values: dict[str, Tensor]) -> None:
        """Add a step's values: scalars without gradient."""
        for name, value in values.items():
            sum_before = self.sums.get(name)
            if sum_before is None:
                self.sums[name] = value.float().clone()
            else:
                self.sums[name] = sum_before.to(value.device) + value
        self.count += 1

    def share(self) -> None:
        """With several processes: replace the sums by their mean over them, the same on each."""
        if self.sums and distributed.several():
            means = distributed.shared(torch.stack([value.float() for value in self.sums.values()]))
            self.sums = dict(zip(self.sums, means.unbind(), strict=True))

    def take(self) -> dict[str, float]:
        """The means since the last call; empty if nothing was added."""
        if not self.count:
            return {}
        means = (torch.stack(list(self.sums.values())) / self.count).tolist()
        found = dict(zip(self.sums, means, strict=True))
        self.sums, self.count = {}, 0
        return found

    def as_plain(self) -> dict[str, Any]:
        """The sums for a checkpoint."""
        return {
            "sums": {name: value.cpu() for name, value in self.sums.items()},
            "count": self.count,
        }

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> Meter:
        """The inverse of :meth:`as_plain`."""
        return cls({name: value.clone() for name, value in plain["sums"].items()}, plain["count"])


@dataclass
class FitState:
    """Where a training stands.

    Args:
        position: batches trained on.
        step: optimiser steps done.
        seconds: time spent by the processes before this one.
        stopped: it ended early, for lack of a better score.
        selection: the best score and where it was.
        history: the evaluations: step, epoch, metrics.
        recent: losses since they were last logged.
        told: losses since a person was last told.
    """

    position: int = 0
    step: int = 0
    seconds: float = 0.0
    stopped: bool = False
    selection: Selection = field(default_factory=Selection)
    history: list[dict[str, Any]] = field(default_factory=list)
    recent: Meter = field(default_factory=Meter)
    told: Meter = field(default_factory=Meter)

    def evaluated(self) -> bool:
        """Whether the model has been scored as it is now."""
        return bool(self.history) and self.history[-1]["step"] == self.step

    def as_plain(self) -> dict[str, Any]:
        """The state in numbers, strings and tensors, which load without running code."""
        return {
            "position": self.position,
            "step": self.step,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "selection": asdict(self.selection),
            "history": [dict(entry) for entry in self.history],
            "recent": self.recent.as_plain(),
            "told": self.told.as_plain(),
        }

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> FitState:
        """The inverse of :meth:`as_plain`."""
        return cls(
            position=plain["position"],
            step=plain["step"],
            seconds=plain["seconds"],
            stopped=plain["stopped"],
            selection=Selection(**plain["selection"]),
            history=plain["history"],
            recent=Meter.of_plain(plain["recent"]),
            told=Meter.of_plain(plain["told"]),
        )


class AtomicCheckpoint(CheckpointIO):
    """Writes under another name and renames; reads tensors and plain values only."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        # Through a Python file: a full disk is then told as the OSError it is.
        with atomic.new_file(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[[Any, str], Any] | None = lambda storage, _: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint without running anything that stands in it."""
        found: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return found

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def put_state(checkpoint: dict[str, Any], state: dict[str, Any], plan: Plan, seed: int) -> None:
    """Put a training's state into Lightning's checkpoint.

    Lightning's own loop counters are left out: the position in the stream of batches is all that
    is needed, and a trainer starts on the rest of the stream with fresh counters.
    """
    checkpoint.pop("loops", None)
    checkpoint["callbacks"] = {}
    checkpoint[_KEY] = {"state": state, "plan": asdict(plan), "seed": seed}


def is_whole(weights: Path) -> bool:
    """Whether a file of weights is there and as long as its header says."""
    try:
        with safe_open(weights, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False


def read_state(path: Path, plan: Plan, seed: int) -> FitState:
    """The state a training goes on from, a fresh one if ``path`` is not there.

    Raises:
        RunFolderError: the checkpoint is of a training with other data, length or seed, or it
            cannot be read.
    """
    if not path.is_file():
        return FitState()
    try:
        # Memory-mapped, so that weights and optimiser are not read for these few numbers.
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)[_KEY]
        state = FitState.of_plain(found["state"])
    except _DAMAGED as error:
        raise RunFolderError(
            f"{path}: not a checkpoint this version can go on from; remove it to start over"
        ) from error
    if (found["plan"], found["seed"]) != (asdict(plan), seed):
        raise RunFolderError(
            f"{path}: belongs to a training with other data, length or seed; "
            "remove it to start over"
        )
    return state
