"""Static int8 (QDQ): activations have one fixed scale each, found on calibration rows.

A fixed scale saves the pass over each activation that dynamic quantisation needs, and costs what
lies outside the calibrated range. Products whose weights are constant and the embedding tables are
int8; attention's own products, norms and sums stay in fp32. Outputs of products are not quantised
again: nothing would read them in int8, and every pair of nodes costs time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.atomic import write_bytes
from distill.compression.calibrate import Row, calibrate
from distill.compression.graph import (
    Scales,
    load_graph,
    plain_products,
    products,
    quantize_products,
    quantize_tables,
    without,
)
from distill.compression.quantize import overflows
from distill.errors import ModelError


def calibrated(source: Path, rows: Sequence[Row], *, calibration: str) -> dict[str, Scales]:
    """The scales of every product of an exported graph; see :func:`calibrate`.

    Raises:
        ModelError: the file is missing, is not an ONNX model, or holds nothing to quantise.
        DataError: there are no rows.
    """
    model = _plain(source)
    return calibrate(model, _some(source, model), rows, method=calibration)


def quantize_static(
    source: Path,
    target: Path,
    *,
    scales: Mapping[str, Scales],
    per_channel: bool,
    reduce_range: bool | None = None,
    exclude: Collection[str] = (),
) -> None:
    """Write an int8 copy of an exported graph with fixed scales.

    Args:
        source: the fp32 file.
        target: the int8 file; written whole or not at all.
        scales: by product name, from :func:`calibrated` or from training.
        per_channel: one scale for each column of a weight, else one for each weight.
        reduce_range: 7 bits for weights; ``None`` asks this machine's processor.
        exclude: names of products that stay in fp32.

    Raises:
        ModelError: the file is missing, is not an ONNX model, or holds nothing to quantise.
    """
    model = _plain(source)
    chosen = without(_some(source, model), exclude)
    missing = [product.name for product in chosen if product.name not in scales]
    if missing:
        raise ModelError(f"{source}: no scales for {', '.join(missing[:3])}")
    quantize_products(
        model,
        {product.name: scales[product.name] for product in chosen},
        per_channel=per_channel,
        reduce_range=overflows() if reduce_range is None else reduce_range,
    )
    quantize_tables(model)
    save_graph(model, target)


def save_graph(model: Any, target: Path) -> None:
    """Write a graph whole or not at all; the same graph gives the same bytes."""
    # Shapes of inner values may contradict the changed graph; runtimes infer them anew.
    del model.graph.value_info[:]
    write_bytes(target, model.SerializeToString(deterministic=True))


def _plain(source: Path) -> Any:
    model = load_graph(source)
    plain_products(model)
    return model


def _some(source: Path, model: Any) -> list[Any]:
    found = products(model)
    if not found:
        raise ModelError(f"{source}: no product with constant weights to quantise")
    return found
