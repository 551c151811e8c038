"""``weights_only``: for size, where products in int8 lose too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from distill.quantization.methods.base import QuantizeStage

if TYPE_CHECKING:
    from distill.quantization.bench import Bench, Candidate


class WeightsOnlyQuantize(QuantizeStage):
    """Weights in 8 or 4 bits, products in fp32; what else it names is the way back's."""

    method: Literal["weights_only"]
    """Small weights, for size; products stay in fp32."""
    bits: Literal[4, 8] = 8
    """Of the weights."""

    def candidates(self, bench: Bench) -> list[Candidate]:
        return [weights_only(bench, bits=self.bits, exclude=self.exclude)]


def weights_only(bench: Bench, *, bits: Literal[4, 8], exclude: list[str]) -> Candidate:
    """Try small weights with products in fp32."""
    from distill.quantization.bench import excluded
    from distill.quantization.onnx_int8 import quantize_weights

    return bench.try_out(
        f"weights only, {bits} bits{excluded(exclude)}",
        "onnx-int8" if bits == 8 else "onnx-int4",
        lambda path: quantize_weights(bench.plain, path, bits=bits, exclude=exclude),
    )
