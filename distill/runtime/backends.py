"""Which engine runs which format, whether it is installed, and how a session is opened.

Legend: B batch, L length, C classes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from distill.runtime.openvino_session import OpenVinoSession
from distill.runtime.session import SLOW_OPTIMIZERS, Ids, Logits, OnnxSession
from distill.runtime.table import TableSession
from distill.system.errors import ModelError, UserError

#: Formats that the runtime can run, as a rule the fastest first, and the engine of each.
ENGINES = {
    "openvino-int8": "openvino",
    "onnx-int8": "onnxruntime",
    "onnx-int4": "onnxruntime",
    "openvino": "openvino",
    "onnx": "onnxruntime",
    "numpy-int8": "numpy",
    "numpy": "numpy",
}


class Session(Protocol):
    """A model that is ready to run."""

    def run(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids) -> Logits:
        """Logits (B, C) for three integer arrays (B, L); may be called from several threads."""


def is_installed(format: str) -> bool:
    """Whether the engine of a format can be imported; nothing is imported to find out."""
    return importlib.util.find_spec(ENGINES[format]) is not None


def choose(there: Mapping[str, Any], preferred: str) -> str:
    """The format of the bundle to run: the preferred one, or the next whose engine is installed.

    Raises:
        UserError: no engine for any of the formats is installed.
    """
    order = [name for name in (preferred, *ENGINES) if name in there and name in ENGINES]
    for name in order:
        if is_installed(name):
            return name
    engines = sorted({ENGINES[name] for name in order})
    raise UserError(
        f"{' or '.join(engines)} is needed to predict from a bundle: pip install {engines[0]}"
    )


def open_session(
    format: str, path: Path, threads: int | None = None, *, settings: Mapping[str, Any] = {}
) -> Session:
    """Load a model file with the engine of its format.

    Args:
        format: one of :data:`ENGINES`.
        path: the file.
        threads: threads of one call; ``None`` takes all physical cores.
        settings: ``disabled_optimizers`` for ONNX Runtime; others are left to their engine.

    Raises:
        UserError: the engine is not installed.
        ModelError: the format is unknown or the file cannot be loaded.
    """
    if format not in ENGINES:
        raise ModelError(f"{path}: no engine for format '{format}'; there are {', '.join(ENGINES)}")
    if ENGINES[format] == "openvino":
        return OpenVinoSession(path, threads)
    if ENGINES[format] == "numpy":
        return TableSession(path)
    off = settings.get("disabled_optimizers", SLOW_OPTIMIZERS)
    return OnnxSession(path, threads, disabled_optimizers=off)
