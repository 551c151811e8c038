"""``auto``: the fastest within ``max_drop``, measured on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from distill.quantization.methods.base import QuantizeStage
from distill.section import Share

if TYPE_CHECKING:
    from distill.quantization.bench import Bench, Candidate


class AutoQuantize(QuantizeStage):
    """Calibrated int8 in several ways, the fastest within ``max_drop``."""

    method: Literal["auto"]
    """The fastest within ``max_drop``, measured here."""
    smooth: Share = 0.95
    """SmoothQuant's alpha, for OpenVINO: how much of the activations' range moves into weights."""

    def candidates(self, bench: Bench) -> list[Candidate]:
        from distill.quantization.methods.nncf import nncf

        how = f"static {self.calibration}"
        bench.try_int8(how, bench.static_int8(per_channel=False, exclude=self.exclude))
        bench.try_engines(how, bench.static_int8(per_channel=True, exclude=self.exclude))
        if bench.run.openvino:
            nncf(bench, smooth=self.smooth, exclude=self.exclude)
        bench.time()
        return sorted(bench.tried, key=lambda candidate: candidate.ms or 0.0)
