"""What a stopped training for int8 goes on from: weights, the grid's scales, the optimiser.

NNI keeps what is learned in wrappers that it hangs into the layers: the weight itself, its scale
and that of the layer's input, and the ranges that were seen. The layer's own weight is what the
wrapper made of it in the last step; it is made anew in the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from distill.system.errors import RunFolderError
from distill.training.checkpoint import AtomicCheckpoint

#: What torch raises for a file that it did not write, or whose content is not what is looked for.
_UNREADABLE = (
    *(KeyError, RuntimeError, EOFError, ValueError, TypeError, AttributeError),
    UnpicklingError,
)


@dataclass(frozen=True)
class Int8Checkpoint:
    """Where a training for int8 keeps what it goes on from.

    Args:
        path: one file, whole or not there.
        every: steps from one writing to the next.
    """

    path: Path
    every: int

    def save(self, model: nn.Module, optimizer: Any, *, done: int, plan: dict[str, Any]) -> None:
        """Write where the training stands.

        Args:
            model: the model with NNI's wrappers in it.
            optimizer: its optimiser.
            done: steps done.
            plan: what a training must have in common with this one to go on from it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"plan": plan, "done": done, "learned": _learned(model)}
        AtomicCheckpoint().save_checkpoint(
            {**content, "optimizer": optimizer.state_dict()}, self.path
        )

    def restore(self, model: nn.Module, optimizer: Any, *, plan: dict[str, Any]) -> int:
        """Bring a model and its optimiser to where a training was stopped.

        Returns:
            The steps that were done; 0 where nothing was kept.

        Raises:
            RunFolderError: the file is of another training, or cannot be read.
        """
        if not self.path.is_file():
            return 0
        try:
            found = AtomicCheckpoint().load_checkpoint(self.path)
            if found["plan"] != plan:
                raise RunFolderError(
                    f"{self.path}: belongs to a training with other data, length or seed; "
                    "remove it to start over"
                )
            _put(model, found["learned"])
            optimizer.load_state_dict(found["optimizer"])
            return int(found["done"])
        except _UNREADABLE as error:
            raise RunFolderError(
                f"{self.path}: not a checkpoint this version can go on from; "
                "remove it to start over"
            ) from error


def _learned(model: nn.Module) -> dict[str, Tensor]:
    """Everything that steps change, by its name in the wrapped model."""
    made = {
        f"{name}.{target}"
        for name, module in model.named_modules()
        if hasattr(module, "_nni_wrapper")
        for target in module._nni_wrapper.quantization_target_spaces
    }
    state = model.state_dict()
    return {name: value.detach() for name, value in state.items() if name not in made}


def _put(model: nn.Module, learned: dict[str, Tensor]) -> None:
    for name, value in learned.items():
        owner, _, attribute = name.rpartition(".")
        module = model.get_submodule(owner)
        current = getattr(module, attribute)
        if current is None:  # a buffer that the first step fills
            setattr(module, attribute, value.clone())
        else:  # learned scales get their shape in the first step too
            current.data = torch.clone(value)
