"""The processor: its name, the instruction sets that matter to int8, and what follows from them."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

#: Instruction sets that decide how fast small matrices are multiplied.
INSTRUCTION_SETS = (
    "avx2",
    "fma",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
)
_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8"}
_X86 = ("x86_64", "amd64", "i386", "i686")


@dataclass(frozen=True)
class Processor:
    """The processor that this process runs on.

    Args:
        name: the model's name.
        isa: those of :data:`INSTRUCTION_SETS` that it has.
        known: whether the instruction sets could be read.
    """

    name: str
    isa: tuple[str, ...]
    known: bool

    @property
    def overflows_int8(self) -> bool:
        """Whether products of 8-bit weights can overflow.

        x86 without VNNI adds pairs of 8-bit products in 16 bits, so weights need to keep to 7
        bits there. Where nothing is known the safe answer is given: 7 bits cost a little accuracy,
        an overflow costs all of it.
        """
        if platform.machine().lower() not in _X86:
            return False
        return not (self.known and _DOT_PRODUCTS.intersection(self.isa))


def processor() -> Processor:
    """Ask the operating system: ``/proc/cpuinfo`` where there is one."""
    fields: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    return Processor(
        name, tuple(flag for flag in INSTRUCTION_SETS if flag in flags), known=bool(flags)
    )


def usable_cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
