"""Static int8 for OpenVINO by NNCF: SmoothQuant, calibration, bias correction.

SmoothQuant moves the large values of activations into the weights that follow, where one scale for
each column can hold them; the products of attention become int8 too.

Reference: Xiao et al. 2023, SmoothQuant, section 4.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from distill.compression.calibrate import Row
from distill.errors import DataError, UserError
from distill.export.openvino import import_openvino, save_openvino
from distill.export.quiet import quiet

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def quantize_nncf(
    source: Path,
    target: Path,
    *,
    rows: Sequence[Row],
    smooth: float = 0.95,
    weight_bits: int = 7,
    exclude: Collection[str] = (),
) -> None:
    """Write an int8 OpenVINO model from an fp32 ``.onnx`` file.

    Args:
        source: the fp32 file.
        target: the ``.xml``; its ``.bin`` comes beside it.
        rows: rows to calibrate with.
        smooth: SmoothQuant's alpha: how much of the range moves into the weights; 0 leaves
            SmoothQuant out.
        weight_bits: 7, which every processor multiplies exactly, or 8, for those with VNNI.
        exclude: names of products that stay in fp32.

    Raises:
        UserError: OpenVINO or NNCF is not installed.
        DataError: there are no rows.
    """
    if not rows:
        raise DataError("no rows to calibrate with")
    openvino = import_openvino()
    nncf = _import_nncf()
    model = openvino.Core().read_model(str(source))
    names = [
        node.get_friendly_name()
        for node in model.get_ops()
        if node.get_type_name() == "MatMul" and _layer(node.get_friendly_name()) in set(exclude)
    ]
    fix = nncf.OverflowFix.ENABLE if weight_bits == 7 else nncf.OverflowFix.DISABLE
    advanced = nncf.AdvancedQuantizationParameters(
        overflow_fix=fix,
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=smooth or -1.0),
    )
    samples = [dict(zip(_INPUTS, row, strict=True)) for row in rows]
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


def _layer(name: str) -> str:
    """A layer's name from that of its product (a ``Gemm`` is split and its parts are numbered)."""
    return name.removesuffix("/WithoutBiases")


def _import_nncf() -> Any:
    # NNCF reports its use to its makers unless it takes itself for a test.
    os.environ.setdefault("NNCF_CI", "1")
    try:
        import nncf
    except ImportError as error:
        raise UserError("this needs NNCF: pip install openvino nncf") from error
    nncf.set_log_level(logging.ERROR)
    return nncf
