"""``static``: activations with calibrated scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import StrictBool

from distill.quantization.methods.base import QuantizeStage

if TYPE_CHECKING:
    from pathlib import Path

    from distill.quantization.bench import Bench, Candidate
    from distill.quantization.graph import Int8


class StaticQuantize(QuantizeStage):
    """Int8 with scales of activations that are calibrated on training examples."""

    method: Literal["static"] = "static"
    """Activations with calibrated scales."""
    per_channel: StrictBool = True
    """One scale for each output channel of a weight; otherwise one for each tensor."""

    def candidates(self, bench: Bench) -> list[Candidate]:
        return [
            static(bench, per_channel=self.per_channel, exclude=self.exclude, openvino=openvino)
            for openvino in ([False, True] if bench.run.openvino else [False])
        ]


def static(
    bench: Bench, *, per_channel: bool, exclude: list[str], openvino: bool = False
) -> Candidate:
    """Try int8 with calibrated scales of activations."""
    from distill.quantization.graph import Int8

    int8 = Int8(
        scales=bench.scales,
        per_channel=per_channel,
        weight_bits=bench.config.weight_bits,
        exclude=exclude,
    )
    how = f"static {bench.config.calibration}"
    if openvino:
        return bench.try_int8(how, int8, format="openvino-int8", write=write_openvino)
    return bench.try_int8(how, int8)


def write_openvino(source: Path, target: Path, int8: Int8) -> None:
    """Write OpenVINO's files of a graph with fixed scales."""
    from distill.export.openvino import export_openvino
    from distill.quantization.onnx_int8 import quantize_qdq

    pairs = target.with_suffix(".qdq.onnx")
    quantize_qdq(source, pairs, int8)
    export_openvino(pairs, target)
    pairs.unlink()
