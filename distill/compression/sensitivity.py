"""Which layers suffer most from int8: the error of the logits with one product in int8 at a time.

Legend: R rows, C outputs of a head, L tokens of a row, N outputs of a product.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from distill.compression.calibrate import Row
from distill.compression.graph import Scales, load_graph, plain_products, products
from distill.compression.quantize import quantize_onnx
from distill.console import Bar
from distill.runtime.session import OnnxSession


def by_sensitivity(
    source: Path,
    rows: Sequence[Row],
    *,
    per_channel: bool,
    scales: Mapping[str, Scales] | None = None,
    weight_bits: int = 7,
) -> list[tuple[str, float]]:
    r"""Order the products of a graph by what int8 does to them, the worst first.

    .. math:: e_i = \frac{1}{RC} \sum (z^{(i)} - z)^2

    where z are the fp32 logits and :math:`z^{(i)}` those with product i alone in int8. A head that
    looks at every token has C logits for each of them, and all count alike.

    Args:
        source: the fp32 file.
        rows: rows to compare the logits on.
        per_channel: as the graph will be quantised.
        scales: calibrated scales of activations; ``None`` takes one for each token.
        weight_bits: as the graph will be quantised.

    Returns:
        Names and errors, largest error first.

    Raises:
        ModelError: the file is missing or is not an ONNX model.
    """
    model = load_graph(source)
    plain_products(model)
    names = [product.name for product in products(model)]
    expected = _logits(source, rows)
    errors: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, Bar("sensitivity of layers", len(names)) as bar:
        for name in names:
            target = Path(folder) / "one.onnx"
            others = [other for other in names if other != name]
            quantize_onnx(
                source,
                target,
                scales=scales,
                per_channel=per_channel,
                weight_bits=weight_bits,
                exclude=others,
            )
            errors[name] = float(np.mean((_logits(target, rows) - expected) ** 2))
            bar.advance(status=name)
    # Equal errors fall back on the name, so that the order is always the same.
    return sorted(errors.items(), key=lambda entry: (-entry[1], entry[0]))


def _logits(path: Path, rows: Sequence[Row]) -> np.ndarray:
    session = OnnxSession(path, threads=1)
    # (R, C), or token by token, of rows that differ in length: (R * L, C).
    return np.concatenate([_flat(session.run(*row)) for row in rows])


def _flat(logits: np.ndarray) -> np.ndarray:
    return logits.reshape(-1, logits.shape[-1])
