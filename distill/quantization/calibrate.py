"""Calibration: how large the activations of every product get on real rows.

Legend: L length, K inputs of a product.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from distill.quantization.graph import Scales, products
from distill.quantization.onnx_int8 import plain_graph
from distill.runtime.session import OnnxSession
from distill.system.console import Bar
from distill.system.errors import DataError

_BINS = 2048
_LEVELS = 128  # of the quantised histogram, entropy
_PERCENTILE = 99.99
_TINY = 1e-8

#: One row: input_ids, attention_mask and token_type_ids, each int64 (1, L), without padding.
Row = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]
Ranges = dict[str, tuple[float, float]]
Values = npt.NDArray[np.float32]


def calibrated(source: Path, rows: Sequence[Row], *, calibration: str) -> dict[str, Scales]:
    """Find a scale for what goes into every product of an exported graph, by the product's name.

    A fixed scale saves the pass over each activation that dynamic quantisation needs, and costs
    what lies outside the calibrated range. Every row is run alone, without padding.

    Args:
        source: the fp32 file.
        rows: calibration examples, such as some hundred training examples.
        calibration: ``minmax``: the whole range that was seen; ``percentile``: without the 0.01 %
            on each side that lie furthest out; ``entropy``: the range whose histogram in 8 bits is
            nearest to the one in full (Kullback-Leibler).

    Raises:
        ModelError: the file is missing or is not an ONNX model.
        DataError: there are no rows.

    Reference:
        Wu et al. 2020, Integer Quantization for Deep Learning Inference, section 4.2.
    """
    if not rows:
        raise DataError("no examples to calibrate with")
    model = plain_graph(source)
    found = products(model)
    passes = 1 if calibration == "minmax" else 2
    with Bar(f"calibrating ({calibration})", passes * len(rows)) as bar:
        ranges = _ranges(_watched(model, rows, bar))
        if calibration != "minmax":
            counts = _histograms(_watched(model, rows, bar), ranges)
            narrow = _percentile if calibration == "percentile" else _entropy
            ranges = {name: narrow(counts[name], seen) for name, seen in ranges.items()}
    return {product.name: scales_of(*ranges[product.activation]) for product in found}


def scales_of(low: float, high: float) -> Scales:
    """The 8-bit grid over ``[low, high]``, widened to hold 0 exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255.0, _TINY)
    return Scales(float(np.float32(scale)), int(np.clip(round(-low / scale), 0, 255)))


def _watched(model: Any, rows: Sequence[Row], bar: Bar) -> Iterator[tuple[str, Values]]:
    """Run every row; what went into each product, by the tensor's name. Changes the model."""
    tensors = sorted({product.activation for product in products(model)})
    del model.graph.output[:], model.graph.value_info[:]
    for name in tensors:
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = OnnxSession(model.SerializeToString(), threads=1)
    for row in rows:
        yield from zip(tensors, session.run_outputs(tensors, *row), strict=True)
        bar.advance()


def _ranges(watched: Iterable[tuple[str, Values]]) -> Ranges:
    found: Ranges = {}
    for name, values in watched:
        low, high = float(values.min()), float(values.max())
        before = found.get(name, (low, high))
        found[name] = (min(low, before[0]), max(high, before[1]))
    return found


def _histograms(
    watched: Iterable[tuple[str, Values]], ranges: Ranges
) -> dict[str, npt.NDArray[np.int64]]:
    counts = {name: np.zeros(_BINS, dtype=np.int64) for name in ranges}
    for name, values in watched:
        low, high = ranges[name]
        # Faster than np.histogram, which sorts the values into edges.
        places = ((values.ravel() - low) * (_BINS / max(high - low, _TINY))).astype(np.int64)
        counts[name] += np.bincount(np.clip(places, 0, _BINS - 1), minlength=_BINS)
    return counts


def _percentile(counts: npt.NDArray[np.int64], seen: tuple[float, float]) -> tuple[float, float]:
    low, high = seen
    summed = np.cumsum(counts) / counts.sum()
    outside = 1 - _PERCENTILE / 100
    first = int(np.searchsorted(summed, outside))
    last = int(np.searchsorted(summed, 1 - outside))
    width = (high - low) / _BINS
    return low + first * width, low + (last + 1) * width


def _entropy(counts: npt.NDArray[np.int64], seen: tuple[float, float]) -> tuple[float, float]:
    """The range around the median with the smallest divergence of its 8-bit histogram."""
    low, high = seen
    width = (high - low) / _BINS
    middle = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    best, chosen = np.inf, (0, _BINS)
    for reach in range(_LEVELS, _BINS + 1, _LEVELS // 2):
        first, last = max(0, middle - reach), min(_BINS, middle + reach)
        divergence = _divergence(counts, first, last)
        if divergence < best:
            best, chosen = divergence, (first, last)
        if first == 0 and last == _BINS:
            break
    return low + chosen[0] * width, low + chosen[1] * width


def _divergence(counts: npt.NDArray[np.int64], first: int, last: int) -> float:
    """KL of the clipped histogram and its copy in ``_LEVELS`` steps."""
    clipped = counts[first:last].astype(np.float64)
    exact = clipped.copy()
    exact[0] += counts[:first].sum()
    exact[-1] += counts[last:].sum()
    edges = np.linspace(0, len(clipped), _LEVELS + 1).astype(int)
    coded = np.zeros_like(clipped)
    for start, end in itertools.pairwise(edges):
        there = clipped[start:end] > 0
        if there.any():
            coded[start:end][there] = clipped[start:end].sum() / there.sum()
    p, q = exact / exact.sum(), coded / max(coded.sum(), 1.0)
    both = (p > 0) & (q > 0)
    missing = float(p[(p > 0) & (q == 0)].sum())
    return float((p[both] * np.log(p[both] / q[both])).sum()) + missing * 10.0
