"""The devices that a training runs on: which there are, and what is said of those asked for."""

from __future__ import annotations

import logging
import os

import torch

from distill.errors import ProcessError
from distill.recipe.schema import TrainerConfig

logger = logging.getLogger("distill")


def on_gpu(config: TrainerConfig) -> bool:
    """Whether a training runs on GPUs: ``auto`` takes them where there are any."""
    return config.accelerator != "cpu" and torch.cuda.is_available()


def check_devices(config: TrainerConfig, cores: int) -> None:
    """Look at what the recipe asks for before anything is begun.

    Args:
        config: the recipe's ``trainer`` part.
        cores: physical cores that may be used.

    Raises:
        ProcessError: there are no such devices, or something else has started several processes
            of this program already.
    """
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        raise ProcessError(
            "trainer.accelerator: gpu, and torch finds none here; write auto or cpu, or install a "
            "build of torch for this GPU"
        )
    if config.devices == 1:
        return
    world = os.environ.get("WORLD_SIZE", "1")
    if "RANK" in os.environ and world not in ("", "1"):
        raise ProcessError(
            f"trainer.devices: {config.devices}, and this is one of {world} processes that "
            "torchrun or a job scheduler started; start it once, without torchrun: it starts its "
            "own processes"
        )
    if on_gpu(config):
        found = torch.cuda.device_count()
        if config.devices > found:
            raise ProcessError(
                f"trainer.devices: {config.devices}, but torch finds {found} "
                f"GPU{'s' if found != 1 else ''} here; write trainer.devices: {found}, or "
                "trainer.accelerator: cpu"
            )
    elif config.devices > cores:
        logger.warning(
            "trainer.devices: %d processes share %d physical core%s: slower than %s",
            config.devices,
            cores,
            "" if cores == 1 else "s",
            "one process" if cores == 1 else f"{cores} processes or fewer",
        )
