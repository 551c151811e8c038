"""The machine that numbers were measured on, without anything that names it or its owner."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

#: Instruction sets that decide how fast small matrices are multiplied.
_ISA = (
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
_LIBRARIES = ("torch", "transformers", "lightning", "onnxruntime", "onnx", "nni", "numpy")


def machine() -> dict[str, Any]:
    """Processor, instruction sets, cores, memory and the versions of what did the work.

    Returns:
        ``cpu`` (model name), ``isa`` (list), ``cores`` (physical ones this process may use),
        ``memory_gb``, ``platform``, ``python``, ``versions`` (library -> version). No host name.
    """
    name, flags = _cpu()
    return {
        "cpu": name,
        "isa": [flag for flag in _ISA if flag in flags],
        "cores": physical_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of the libraries that train, export and run models, as installed."""
    found = {}
    for library in ("distill-bert", *_LIBRARIES):
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def physical_cores() -> int:
    """Physical cores that this process may use: of the machine, its affinity and its container."""
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    return max(1, min(cores, _quota(Path("/sys/fs/cgroup/cpu.max")) or cores))


def _quota(file: Path) -> int | None:
    """Whole CPUs that a container may use (cgroup v2), or ``None`` where nothing limits it."""
    try:
        limit, period = file.read_text("utf-8").split()
        return max(1, int(limit) // int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return None


def _cpu() -> tuple[str, set[str]]:
    """The processor's model name and flags, from ``/proc/cpuinfo`` where there is one."""
    fields: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, set((fields.get("flags") or fields.get("features") or "").split())
