"""The processor: its name, the instruction sets that matter to int8, and what follows from them."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
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
_ROOT = Path("/")
_X86 = ("x86_64", "amd64", "i386", "i686")


@dataclass(frozen=True)
class Processor:
    """The processor that this process runs on."""

    name: str  # the model's name
    isa: tuple[str, ...]  # those of :data:`INSTRUCTION_SETS` that it has
    known: bool  # whether the instruction sets could be read

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
    for line in _read(_ROOT / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    return Processor(
        name, tuple(flag for flag in INSTRUCTION_SETS if flag in flags), known=bool(flags)
    )


def usable_cores(root: Path = _ROOT) -> int:
    """Logical processors that this process may use: by its affinity and its container's quota.

    ``root`` is where ``/proc`` and ``/sys`` lie.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return max(1, min([cores, *_quotas(root)]))


def physical_cores(root: Path = _ROOT) -> int:
    """Physical cores that this process may use; see :func:`usable_cores`."""
    cpus = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list")
    siblings = {_read(path) for path in cpus} - {""}
    return min(usable_cores(root), len(siblings) or os.cpu_count() or 1)


def _quotas(root: Path) -> Iterator[int]:
    """Whole CPUs that each control group around this process may use, where it has a limit.

    Version 2 has one tree and ``cpu.max``, version 1 one for processors with a quota in a period
    of microseconds (-1 is none). In a container the group's path may be that of the host, which is
    not there; its own limit then stands at the top.
    """
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        tops = [groups] if not controllers else [groups / controllers, groups / "cpu"]
        if controllers and "cpu" not in controllers.split(","):
            continue
        for top in dict.fromkeys(tops):
            own = top / path.lstrip("/")
            for folder in (own, *own.parents):
                if folder.is_relative_to(top):
                    yield from _quota(folder)


def _quota(folder: Path) -> Iterator[int]:
    words = _read(folder / "cpu.max").split()
    if not words:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [word for name in names for word in _read(folder / name).split()]
    if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):
        yield max(1, int(words[0]) // int(words[1]))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
