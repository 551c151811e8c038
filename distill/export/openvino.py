"""OpenVINO: its own files from an ONNX graph, fp32 or quantised."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from distill.system.atomic import write_bytes
from distill.system.errors import ModelError, UserError


def is_installed() -> bool:
    """Whether OpenVINO and NNCF are there; neither is imported to find out."""
    return all(importlib.util.find_spec(name) is not None for name in ("openvino", "nncf"))


def import_openvino() -> Any:
    """The package; a UserError where it is not installed."""
    try:
        import openvino
    except ImportError as error:
        raise UserError("this needs OpenVINO: pip install openvino nncf") from error
    return openvino


def weights_of(path: Path) -> Path:
    """The ``.bin`` that belongs to an ``.xml``."""
    return path.with_suffix(".bin")


def export_openvino(source: Path, target: Path) -> None:
    """Turn an ``.onnx`` file into ``target`` (``.xml``) and its ``.bin``; numbers stay as they are.

    A graph with Quantize/Dequantize pairs runs in int8 there too. A ModelError where OpenVINO
    cannot read the graph.
    """
    openvino = import_openvino()
    try:
        model = openvino.Core().read_model(str(source))
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1]
        raise ModelError(f"{source}: OpenVINO cannot read it ({first})") from error
    save_openvino(model, target)


def save_openvino(model: Any, target: Path) -> None:
    """Write a model's two files, the ``.xml`` last: where it stands, the other one does too."""
    openvino = import_openvino()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.tmp.xml")
    try:
        openvino.save_model(model, str(temporary), compress_to_fp16=False)
        write_bytes(weights_of(target), weights_of(temporary).read_bytes())
        write_bytes(target, temporary.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)
        weights_of(temporary).unlink(missing_ok=True)
