"""The machine that numbers were measured on, without anything that names it or its owner."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import psutil

from distill.system.processor import physical_cores, processor

_LIBRARIES = (
    "torch",
    "transformers",
    "lightning",
    "onnxruntime",
    "onnx",
    "openvino",
    "nncf",
    "nni",
    "numpy",
)


def machine() -> dict[str, Any]:
    """Processor, instruction sets, cores, memory and the versions of what did the work.

    Returns:
        ``cpu`` (model name), ``isa`` (list), ``cores`` (physical ones this process may use),
        ``memory_gb``, ``platform``, ``python``, ``versions`` (library -> version). No host name.
    """
    found = processor()
    return {
        "cpu": found.name,
        "isa": list(found.isa),
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
