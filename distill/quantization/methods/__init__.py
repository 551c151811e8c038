"""The quantisation methods, one file each; a new one is its file and its line here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from distill.quantization.methods.auto import AutoQuantize
from distill.quantization.methods.base import QuantizeStage
from distill.quantization.methods.dynamic import ActivationScales, DynamicQuantize
from distill.quantization.methods.nncf import NncfQuantize
from distill.quantization.methods.qat import QatQuantize
from distill.quantization.methods.static import StaticQuantize
from distill.quantization.methods.table import TableQuantize
from distill.quantization.methods.weights_only import WeightsOnlyQuantize
from distill.section import by_default

__all__ = ["ActivationScales", "AnyQuantize", "QuantizeStage"]

#: A quantize stage's section, by its ``method``.
AnyQuantize = Annotated[
    Annotated[
        StaticQuantize
        | DynamicQuantize
        | NncfQuantize
        | QatQuantize
        | WeightsOnlyQuantize
        | TableQuantize
        | AutoQuantize,
        Field(discriminator="method"),
    ],
    by_default("method", "static"),
]
