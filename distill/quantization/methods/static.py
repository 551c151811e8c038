"""``static``: activations with calibrated scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import StrictBool

from distill.quantization.methods.base import QuantizeStage

if TYPE_CHECKING:
    from distill.quantization.bench import Bench, Candidate


class StaticQuantize(QuantizeStage):
    """Int8 with scales of activations that are calibrated on training examples."""

    method: Literal["static"] = "static"
    """Activations with calibrated scales."""
    per_channel: StrictBool = True
    """One scale for each output channel of a weight; otherwise one for each tensor."""

    def candidates(self, bench: Bench) -> list[Candidate]:
        int8 = bench.static_int8(per_channel=self.per_channel, exclude=self.exclude)
        return bench.try_engines(f"static {self.calibration}", int8)
