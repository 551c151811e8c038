"""``dynamic``: activations with scales that are computed at inference."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from pydantic import StrictBool

from distill.quantization.methods.base import QuantizeStage
from distill.section import Issues

if TYPE_CHECKING:
    from distill.quantization.bench import Bench, Candidate
    from distill.recipe.schema import Recipe
    from distill.recipe.shapes import Before

logger = logging.getLogger("distill")

ActivationScales = Literal["per_token", "per_batch"]


class DynamicQuantize(QuantizeStage):
    """Int8 with scales of activations that are computed at inference; nothing is calibrated."""

    method: Literal["dynamic"]
    """Activations with scales that are computed at inference."""
    activation_scales: ActivationScales = "per_token"
    """``per_token``: needs no calibration, slower; ``per_batch``: ONNX Runtime's own, with which
    the answer to a text depends on the texts beside it and on padding."""
    per_channel: StrictBool = True
    """One scale for each output channel of a weight; otherwise one for each tensor."""

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        del recipe, before
        if self.differs("calibration"):
            yield ("calibration",), "scales of dynamic int8 are not calibrated; leave it out"

    def candidates(self, bench: Bench) -> list[Candidate]:
        scales, exclude = self.activation_scales, self.exclude
        return [dynamic(bench, scales, per_channel=self.per_channel, exclude=exclude)]

    def int8_again(self, bench: Bench, exclude: list[str]) -> Candidate:
        return dynamic(bench, self.activation_scales, per_channel=True, exclude=exclude)


def dynamic(
    bench: Bench, scales: ActivationScales, *, per_channel: bool, exclude: list[str]
) -> Candidate:
    """Try int8 with scales of activations that are computed at inference."""
    from distill.quantization.graph import Int8

    if scales == "per_batch":
        logger.warning(
            "%s: activation_scales: per_batch: what the model answers to a text will depend on the "
            "texts that share its batch, and on padding",
            bench.run.name,
        )
    return bench.try_int8(
        f"dynamic {scales}",
        Int8(per_channel=per_channel, weight_bits=bench.config.weight_bits, exclude=exclude),
        activation_scales=scales,
    )
