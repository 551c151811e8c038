"""``nncf``: static int8 for OpenVINO by NNCF: SmoothQuant, calibration, bias correction.

SmoothQuant moves the large values of activations into the weights that follow, where one scale for
each column can hold them; the products of attention become int8 too.

Reference: Xiao et al. 2023, SmoothQuant, section 4.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
from typing import TYPE_CHECKING, Any, Literal

from distill.quantization.methods.base import QuantizeStage
from distill.section import Issues, Share

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from distill.quantization.bench import Bench, Candidate
    from distill.quantization.calibrate import Row
    from distill.recipe.schema import Recipe
    from distill.recipe.shapes import Before

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class NncfQuantize(QuantizeStage):
    """SmoothQuant and calibrated int8 for OpenVINO."""

    method: Literal["nncf"]
    """SmoothQuant for OpenVINO."""
    smooth: Share = 0.95
    """SmoothQuant's alpha: how much of the activations' range moves into weights."""

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        exports = [stage for stage in recipe.stages if stage.kind == "export"]
        lacking = [name for name in ("openvino", "nncf") if importlib.util.find_spec(name) is None]
        if lacking:
            yield ("method",), f"nncf needs {' and '.join(lacking)}: pip install openvino nncf"
        elif exports and not any(stage.exports("openvino") for stage in exports):
            yield ("method",), "nncf makes an OpenVINO model: add it to export's formats"

    def candidates(self, bench: Bench) -> list[Candidate]:
        return [nncf(bench, smooth=self.smooth, exclude=self.exclude)]


def nncf(bench: Bench, *, smooth: float, exclude: list[str]) -> Candidate:
    """Try SmoothQuant and calibrated int8 for OpenVINO."""
    from distill.quantization.bench import excluded

    bits = bench.config.weight_bits
    return bench.try_out(
        f"nncf, SmoothQuant {smooth:g}{excluded(exclude)}",
        "openvino-int8",
        lambda path: quantize_nncf(
            bench.plain, path, rows=bench.rows, smooth=smooth, weight_bits=bits, exclude=exclude
        ),
        facts={"activation_scales": "calibrated", "weight_bits": bits},
    )


def quantize_nncf(
    source: Path,
    target: Path,
    *,
    rows: Sequence[Row],
    smooth: float = 0.95,
    weight_bits: int = 7,
    exclude: Collection[str] = (),
) -> None:
    """Write an int8 OpenVINO model (``target`` and its ``.bin``) from an fp32 ``.onnx`` file.

    ``smooth`` is SmoothQuant's alpha: how much of the range moves into the weights; 0 leaves
    SmoothQuant out. Weights of 7 bits are multiplied exactly by every processor, those of 8 by ones
    with VNNI. Products of the layers in ``exclude`` stay in fp32.
    """
    from distill.export.openvino import import_openvino, save_openvino
    from distill.system.messages import quiet

    openvino, nncf = import_openvino(), _import_nncf()
    model = openvino.Core().read_model(str(source))
    names = [
        node.get_friendly_name()
        for node in model.get_ops()
        # A Gemm is split, and its parts have names of their own.
        if node.get_type_name() == "MatMul"
        and node.get_friendly_name().removesuffix("/WithoutBiases") in exclude
    ]
    fix = nncf.OverflowFix.ENABLE if weight_bits == 7 else nncf.OverflowFix.DISABLE
    advanced = nncf.AdvancedQuantizationParameters(
        overflow_fix=fix,
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=smooth or -1.0),
    )
    read = {value.any_name for value in model.inputs}
    samples = [
        {name: array for name, array in zip(_INPUTS, row, strict=True) if name in read}
        for row in rows
    ]
    with quiet("nncf", ""), contextlib.redirect_stdout(io.StringIO()):  # its bars
        quantised = nncf.quantize(
            model,
            nncf.Dataset(samples),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(samples),
            ignored_scope=nncf.IgnoredScope(names=names) if names else None,
            advanced_parameters=advanced,
        )
    save_openvino(quantised, target)


def _import_nncf() -> Any:
    # NNCF reports its use to its makers unless it takes itself for a test.
    os.environ.setdefault("NNCF_CI", "1")
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf
