"""The machine that a training runs on: devices, arithmetic, threads and memory."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
from typing import Literal

import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from distill.recipe.schema import TrainerConfig
from distill.system.errors import ProcessError
from distill.system.processor import physical_cores

logger = logging.getLogger("distill")

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def on_gpu(config: TrainerConfig) -> bool:
    """Whether a training runs on GPUs: ``auto`` takes them where there are any."""
    return config.accelerator != "cpu" and torch.cuda.is_available()


def started_processes() -> int:
    """How many processes `torchrun` or `srun` started, this one among them; 1 if none did."""
    environment = os.environ
    if "RANK" not in environment and int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        # What srun says, in the names that torch and Lightning read.
        job = environment.get("SLURM_JOB_ID", "0")
        first = SLURMEnvironment.resolve_root_node_address(environment["SLURM_STEP_NODELIST"])
        environment |= {
            "RANK": environment["SLURM_PROCID"],
            "LOCAL_RANK": environment["SLURM_LOCALID"],
            "GROUP_RANK": environment["SLURM_NODEID"],
            "WORLD_SIZE": environment["SLURM_STEP_NUM_TASKS"],
            "MASTER_ADDR": environment.get("MASTER_ADDR", first),
            "MASTER_PORT": environment.get("MASTER_PORT", str(15000 + int(job) % 10000)),
            "TORCHELASTIC_RUN_ID": job,
        }
    return int(environment.get("WORLD_SIZE") or "1") if "RANK" in environment else 1


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
        machines = "one machine" if config.num_nodes == 1 else f"{config.num_nodes} machines"
        raise ProcessError(
            f"trainer.devices: {config.devices} on {machines}, and torchrun or srun started "
            f"{started} processes; write trainer.devices: (processes of a machine) and "
            "trainer.num_nodes: (machines)"
        )
    if started == 1 and config.num_nodes > 1:
        raise ProcessError(
            f"trainer.num_nodes: {config.num_nodes} machines: start it on each of them: torchrun "
            f"--nnodes {config.num_nodes} --nproc-per-node {config.devices} --rdzv-backend c10d "
            "--rdzv-endpoint HOST:PORT -m distill run RECIPE, or with srun"
        )
    if on_gpu(config):
        count = torch.cuda.device_count()
        if config.devices > count:
            raise ProcessError(
                f"trainer.devices: {config.devices}, but torch finds {count} "
                f"GPU{'s' if count != 1 else ''} here; write trainer.devices: {count}, or "
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


def resolve_precision(config: TrainerConfig) -> Literal["fp32", "bf16"]:
    """The precision of training: the recipe's, and for ``auto`` what the machine is fast in.

    bf16 is chosen where it is done in hardware: CUDA from compute capability 8.0, and CPUs with
    AVX512-BF16 or AMX. Elsewhere it is emulated and slower than fp32. Losses are taken in fp32
    and weights are kept in fp32 either way.

    Args:
        config: the recipe's ``trainer`` part.
    """
    if config.precision != "auto":
        return config.precision
    if on_gpu(config):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    found = torch.cpu.get_capabilities()
    return "bf16" if found.get("avx512_bf16") or found.get("amx_bf16") else "fp32"


def set_threads(threads: int | None) -> None:
    """Let torch use ``threads`` CPU threads; ``None`` takes all physical cores."""
    torch.set_num_threads(threads or physical_cores())


def keep_freed_memory() -> None:
    """Let the process keep memory that it frees, on Linux with glibc; elsewhere nothing changes.

    By default a large block goes back to the kernel when it is freed, and its successor's pages
    are mapped and zeroed one by one. A training step frees and allocates its gradients anew: with
    a 47 MB embedding table, filling such a block took 30 ms before and 4 ms after (2 cores).
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
