"""Which arithmetic a machine should train in."""

from __future__ import annotations

from typing import Literal

import torch

from distill.recipe.schema import TrainerConfig


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
    if config.accelerator != "cpu" and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
