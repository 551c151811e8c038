"""The way back: what is tried when int8 loses more of the score than allowed.

Legend: R rows, C outputs of a head, L tokens of a row, N outputs of a product.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from distill.quantization.bench import Bench, Candidate
from distill.quantization.calibrate import Row
from distill.quantization.graph import Int8, products
from distill.quantization.methods.dynamic import DynamicQuantize, dynamic
from distill.quantization.methods.weights_only import weights_only
from distill.quantization.onnx_int8 import plain_graph, quantize_embeddings, quantize_onnx
from distill.runtime.session import OnnxSession
from distill.system.console import Bar

logger = logging.getLogger("distill")

_ROWS = 64  # to compare logits on, when layers are ordered by sensitivity


def step_back(bench: Bench) -> Candidate | None:
    """Find the smallest step back from int8 that passes; ``None`` if only fp32 does.

    In this order, which is that of falling speed: one scale for each channel; the most sensitive
    layers in fp32, as few as will do; one scale for each token, where scales were calibrated; small
    weights with products in fp32; embedding tables alone.
    """
    config, exclude = bench.config, bench.config.exclude
    steps: list[Callable[[], Candidate | None]] = []
    per_channel = [one.what for one in bench.tried if "per channel" in one.what]
    if not any(what.startswith(("static", "dynamic")) for what in per_channel):
        steps.append(lambda: config.int8_again(bench, exclude))
    steps.append(lambda: _fewest_in_fp32(bench))
    if not isinstance(config, DynamicQuantize):
        steps.append(lambda: dynamic(bench, "per_token", per_channel=True, exclude=exclude))
    steps.append(lambda: weights_only(bench, bits=8, exclude=exclude))
    tables = partial(quantize_embeddings, bench.plain)
    steps.append(lambda: bench.try_out("embeddings only", "onnx-int8", tables))
    for step in steps:
        candidate = step()
        if candidate is not None and bench.passes(candidate):
            return candidate
    return None


def _fewest_in_fp32(bench: Bench) -> Candidate | None:
    """Leave the worst layers in fp32: 1, 2, 4, ... of them, then the fewest between that pass."""
    computed = isinstance(bench.config, DynamicQuantize)
    int8 = Int8(scales=None if computed else bench.scales, weight_bits=bench.config.weight_bits)
    ordered = by_sensitivity(bench.plain, bench.run.rows(_ROWS), int8)
    names = [name for name, _ in ordered if name not in bench.config.exclude]
    logger.info("%s: int8 hurts most in %s", bench.run.name, ", ".join(names[:3]))

    def without(count: int) -> Candidate:
        return bench.config.int8_again(bench, [*bench.config.exclude, *names[:count]])

    failed, count = 0, 1
    best: Candidate | None = None
    # With more than half of the layers in fp32, small weights alone are the better bargain.
    while count <= max(1, len(names) // 2) and best is None:
        candidate = without(count)
        if bench.passes(candidate):
            best = candidate
        else:
            failed, count = count, 2 * count
    while best is not None and count - failed > 1:
        middle = (failed + count) // 2
        candidate = without(middle)
        if bench.passes(candidate):
            best, count = candidate, middle
        else:
            failed = middle
    return best


def by_sensitivity(source: Path, rows: Sequence[Row], int8: Int8) -> list[tuple[str, float]]:
    r"""Order the products of a graph by what int8 does to them, the worst first, with its errors.

    .. math:: e_i = \frac{1}{RC} \sum (z^{(i)} - z)^2

    where z are the fp32 logits of the rows and :math:`z^{(i)}` those with product i alone in int8.
    A head that looks at every token has C logits for each of them, and all count alike.
    """
    names = [product.name for product in products(plain_graph(source))]
    expected = _logits(source, rows)
    errors: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, Bar("sensitivity of layers", len(names)) as bar:
        target = Path(folder) / "one.onnx"
        for name in names:
            others = [other for other in names if other != name]
            quantize_onnx(source, target, replace(int8, exclude=others))
            errors[name] = float(np.mean((_logits(target, rows) - expected) ** 2))
            bar.advance(status=name)
    # Equal errors fall back on the name, so that the order is always the same.
    return sorted(errors.items(), key=lambda entry: (-entry[1], entry[0]))


def _logits(path: Path, rows: Sequence[Row]) -> np.ndarray:
    session = OnnxSession(path, threads=1)
    # (R, C), or token by token, of rows that differ in length: (R * L, C).
    logits = [session.run(*row) for row in rows]
    return np.concatenate([one.reshape(-1, one.shape[-1]) for one in logits])
