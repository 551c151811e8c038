"""The ``trainer`` and ``track`` sections."""

from __future__ import annotations

from typing import Literal

from pydantic import StrictStr

from distill.section import PositiveInt, Section


class TrainerConfig(Section):
    """The machine: how Lightning runs."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``auto``: bf16 autocast where CPU or GPU has it in hardware, else fp32."""
    threads: PositiveInt | None = None
    """CPU threads of training, shared by its processes; left out, all physical cores."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where it runs."""
    devices: PositiveInt = 1
    """GPUs, or processes on a CPU, of a machine; they share each batch equally."""
    num_nodes: PositiveInt = 1
    """Machines; more than one are started with ``torchrun`` or ``srun``."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """``ddp``: every process holds the model; ``fsdp``: each holds its part of it."""
    deterministic: bool = False
    """Deterministic kernels only: slower, and needed for the same weights each time on a GPU."""
    checkpoint_steps: PositiveInt = 200
    """Steps between checkpoints that a killed run resumes from."""

    @property
    def processes(self) -> int:
        """Processes of a training: the devices of all machines."""
        return self.devices * self.num_nodes

    @property
    def sharded(self) -> bool:
        """Whether each process holds a part of the model."""
        return self.strategy == "fsdp" and self.processes > 1


class WandbConfig(Section):
    """Weights & Biases."""

    project: StrictStr = "distill"
    """The project."""
    mode: Literal["offline", "online", "off"] = "offline"
    """``offline`` writes a folder for ``wandb sync``; nothing ever prompts for a key."""
    entity: StrictStr | None = None
    """The user or team."""
    tags: list[StrictStr] = []
    """Tags of every run of the group."""


class TrackConfig(Section):
    """Tracking beside the CSV, which is always written."""

    wandb: WandbConfig | None = None
    """Left out, W&B is not used."""
