"""What every quantisation method has: its section of a recipe, that section's rules, and its work.

A method is one file in this folder: a class laid over :class:`QuantizeStage`, and one line in
``__init__.py``. Recipes are read with these files, so they import torch and ONNX only where they
work.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, StrictBool

from distill.section import Name, PositiveInt, StageSection

if TYPE_CHECKING:
    from distill.quantization.bench import Bench, Candidate

Calibration = Literal["minmax", "percentile", "entropy"]


class QuantizeStage(StageSection):
    """Make the weights int8 and score the model again; step back where it loses too much."""

    kind: Literal["quantize"]
    name: Name = "quantize"
    """The stage's name."""
    method: Any
    """How it becomes int8."""
    max_drop: Annotated[float, Field(ge=0, le=2)] = 0.01
    """Largest loss of score (absolute) against the same model unquantised; of a correlation up to
    2."""
    fallback: StrictBool = True
    """Beyond ``max_drop`` leave layers in fp32, then only make weights small, at last keep fp32;
    ``false`` stops the run instead."""
    exclude: list[str] = []
    """Layers that stay in fp32 from the start, such as ``classifier``."""
    weight_bits: Literal[7, 8] = 7
    """Of weights in products of int8: 7 give the same answers on every processor; products with 8
    overflow on x86 without VNNI, which is warned of when such a bundle is loaded."""
    calibration: Calibration = "minmax"
    """How a calibrated scale is chosen from the values of an activation."""
    calibration_examples: PositiveInt = 512
    """Training rows that scales are calibrated on."""

    @abstractmethod
    def candidates(self, bench: Bench) -> list[Candidate]:
        """Try what the section asks for, the best first; the caller drops what loses too much."""

    def int8_again(self, bench: Bench, exclude: list[str]) -> Candidate:
        """Try int8 with other layers left out, one scale for each channel: the first step back."""
        int8 = bench.static_int8(per_channel=True, exclude=exclude)
        return bench.try_int8(f"static {self.calibration}", int8)

    def step_back(self, bench: Bench) -> Candidate | None:
        """What passes where no candidate did; ``None`` if only fp32 does."""
        from distill.quantization.int8_fallback import step_back

        return step_back(bench)
