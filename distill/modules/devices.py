"""The devices that a training runs on: which there are, and what is said of those asked for."""

from __future__ import annotations

import logging
import os

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from distill.errors import ProcessError
from distill.recipe.schema import TrainerConfig

logger = logging.getLogger("distill")


def on_gpu(config: TrainerConfig) -> bool:
    """Whether a training runs on GPUs: ``auto`` takes them where there are any."""
    return config.accelerator != "cpu" and torch.cuda.is_available()


def started_processes() -> int:
    """How many processes `torchrun` or `srun` started, this one among them; 1 if none did."""
    if "RANK" not in os.environ and int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        # What srun says, in the names that torch reads.
        slurm = SLURMEnvironment()
        os.environ |= {
            "RANK": str(slurm.global_rank()),
            "LOCAL_RANK": str(slurm.local_rank()),
            "GROUP_RANK": str(slurm.node_rank()),
            "WORLD_SIZE": os.environ["SLURM_STEP_NUM_TASKS"],
            "MASTER_ADDR": slurm.main_address,
            "MASTER_PORT": str(slurm.main_port),
            "TORCHELASTIC_RUN_ID": os.environ.get("SLURM_JOB_ID", "slurm"),
        }
    return int(os.environ.get("WORLD_SIZE") or "1") if "RANK" in os.environ else 1


def _machines(count: int) -> str:
    return "one machine" if count == 1 else f"{count} machines"


def check_devices(config: TrainerConfig, cores: int) -> None:
    """Look at what the recipe asks for before anything is begun.

    Args:
        config: the recipe's ``trainer`` part.
        cores: physical cores that may be used.

    Raises:
        ProcessError: there are no such devices, or not so many processes.
    """
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        raise ProcessError(
            "trainer.accelerator: gpu, and torch finds none here; write auto or cpu, or install a "
            "build of torch for this GPU"
        )
    if config.processes == 1:
        return
    started = started_processes()
    if started > 1 and started != config.processes:
        raise ProcessError(
            f"trainer.devices: {config.devices} on {_machines(config.num_nodes)}, and torchrun or "
            f"srun started {started} processes; write trainer.devices: (processes of a machine) "
            "and trainer.num_nodes: (machines)"
        )
    if started == 1 and config.num_nodes > 1:
        raise ProcessError(
            f"trainer.num_nodes: {config.num_nodes} machines: start it on each of them: torchrun "
            f"--nnodes {config.num_nodes} --nproc-per-node {config.devices} --rdzv-backend c10d "
            "--rdzv-endpoint HOST:PORT -m distill run RECIPE, or with srun"
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
