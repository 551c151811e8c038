"""Calibrated scales of activations, and int8 with them as a graph that is portable (QDQ).

A fixed scale saves the pass over each activation that dynamic quantisation needs, and costs what
lies outside the calibrated range. Products whose weights are constant and the embedding tables are
int8; attention's own products, norms and sums stay in fp32. Outputs of products are not quantised
again: nothing would read them in int8, and every pair of nodes costs time.

ONNX Runtime leaves one product of each layer in such a graph unfused, with its weight dequantised
at every call, and adds every bias in a pass of its own: :mod:`distill.compression.quantize` writes
its integer products instead. OpenVINO has kernels for these graphs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.compression.calibrate import Row, calibrate
from distill.compression.graph import (
    Scales,
    load_graph,
    plain_products,
    quantize_products,
    quantize_tables,
    save_graph,
    without,
)
from distill.compression.quantize import check_scales, quantisable


def calibrated(source: Path, rows: Sequence[Row], *, calibration: str) -> dict[str, Scales]:
    """The scales of every product of an exported graph; see :func:`calibrate`.

    Raises:
        ModelError: the file is missing, is not an ONNX model, or holds nothing to quantise.
        DataError: there are no rows.
    """
    model = _plain(source)
    return calibrate(model, quantisable(source, model), rows, method=calibration)


def quantize_qdq(
    source: Path,
    target: Path,
    *,
    scales: Mapping[str, Scales],
    per_channel: bool,
    weight_bits: int = 7,
    exclude: Collection[str] = (),
) -> None:
    """Write an int8 copy of an exported graph with fixed scales in Quantize/Dequantize pairs.

    Args:
        source: the fp32 file.
        target: the int8 file; written whole or not at all.
        scales: by product name, from :func:`calibrated` or from training.
        per_channel: one scale for each column of a weight, else one for each weight.
        weight_bits: 7 or 8.
        exclude: names of products that stay in fp32.

    Raises:
        ModelError: the file is missing, is not an ONNX model, or holds nothing to quantise.
    """
    model = _plain(source)
    names = [product.name for product in without(quantisable(source, model), exclude)]
    check_scales(source, names, scales)
    quantize_products(
        model,
        {name: scales[name] for name in names},
        per_channel=per_channel,
        weight_bits=weight_bits,
    )
    quantize_tables(model)
    save_graph(model, target)


def _plain(source: Path) -> Any:
    model = load_graph(source)
    plain_products(model)
    return model
