"""The way back: what is tried when int8 loses more of the score than allowed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from distill.compression.nncf_quantize import quantize_nncf
from distill.compression.quantize import quantize_onnx
from distill.compression.sensitivity import by_sensitivity
from distill.compression.static import quantize_static
from distill.compression.weights_only import quantize_embeddings, quantize_weights
from distill.stages.candidates import Candidate, Workbench, sample_rows

logger = logging.getLogger("distill")

_ROWS = 64  # to compare logits on, when layers are ordered by sensitivity


def dynamic(bench: Workbench, *, per_channel: bool, exclude: list[str]) -> Candidate:
    """Dynamic int8."""
    return bench.try_out(
        f"dynamic, {channels(per_channel)}{but(exclude)}",
        "onnx-int8",
        lambda path: quantize_onnx(bench.plain, path, per_channel=per_channel, exclude=exclude),
    )


def static(bench: Workbench, *, per_channel: bool, exclude: list[str]) -> Candidate:
    """Static int8 with calibrated scales."""
    return bench.try_out(
        f"static {bench.config.calibration}, {channels(per_channel)}{but(exclude)}",
        "onnx-int8",
        lambda path: quantize_static(
            bench.plain,
            path,
            scales=bench.scales(bench.config.calibration),
            per_channel=per_channel,
            exclude=exclude,
        ),
    )


def nncf(bench: Workbench, *, exclude: list[str]) -> Candidate:
    """Static int8 for OpenVINO."""
    return bench.try_out(
        f"nncf, SmoothQuant {bench.config.smooth:g}{but(exclude)}",
        "openvino-int8",
        lambda path: quantize_nncf(
            bench.plain, path, rows=bench.rows, smooth=bench.config.smooth, exclude=exclude
        ),
    )


def weights_only(bench: Workbench, *, bits: int, exclude: list[str]) -> Candidate:
    """Small weights, products in fp32."""
    return bench.try_out(
        f"weights only, {bits} bits{but(exclude)}",
        "onnx-int8" if bits == 8 else "onnx-int4",
        lambda path: quantize_weights(bench.plain, path, bits=bits, exclude=exclude),
    )


def step_back(bench: Workbench, *, fixed: bool = False) -> Candidate | None:
    """Find the smallest step back from int8 that passes; ``None`` if only fp32 does.

    In this order, which is that of falling speed: one scale for each channel; the most sensitive
    layers in fp32, as few as will do; small weights with products in fp32; embedding tables alone.

    Args:
        bench: where candidates are tried; what failed before is in it.
        fixed: whether the activations' scales are fixed (static), else dynamic.
    """
    config = bench.config
    build: Callable[..., Candidate] = partial(static if fixed else dynamic, bench)
    exclude = list(config.exclude)
    method = f"{'static ' + config.calibration if fixed else 'dynamic'}, {channels(True)}"
    steps: list[Callable[[], Candidate | None]] = []
    if not any(candidate.what.startswith(method) for candidate in bench.tried):
        steps.append(lambda: build(per_channel=True, exclude=exclude))
    steps.append(lambda: _fewest_in_fp32(bench, build, fixed=fixed))
    steps.append(lambda: weights_only(bench, bits=8, exclude=exclude))
    steps.append(lambda: bench.try_out("embeddings only", "onnx-int8", partial(_tables, bench)))
    for step in steps:
        candidate = step()
        if candidate is not None and bench.passes(candidate):
            return candidate
    return None


def _tables(bench: Workbench, path: Path) -> None:
    quantize_embeddings(bench.plain, path)


def _fewest_in_fp32(
    bench: Workbench,
    build: Callable[..., Candidate],
    *,
    fixed: bool,
) -> Candidate | None:
    """Leave the worst layers in fp32: 1, 2, 4, ... of them, then the fewest between that pass."""
    split = bench.context.workspace.data.train
    ordered = by_sensitivity(
        bench.plain,
        sample_rows(bench.context, split, _ROWS),
        per_channel=True,
        scales=bench.scales(bench.config.calibration) if fixed else None,
    )
    names = [name for name, _ in ordered if name not in bench.config.exclude]
    logger.info("%s: int8 hurts most in %s", bench.context.stage.name, ", ".join(names[:3]))

    def without(count: int) -> Candidate:
        return build(per_channel=True, exclude=[*bench.config.exclude, *names[:count]])

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


def channels(per_channel: bool) -> str:
    """How weights are scaled, in words."""
    return "per channel" if per_channel else "per tensor"


def but(exclude: list[str]) -> str:
    """Which layers are left out, in words."""
    if not exclude:
        return ""
    named = ", ".join(exclude[:3]) + (", ..." if len(exclude) > 3 else "")
    return f", {len(exclude)} {'layer' if len(exclude) == 1 else 'layers'} in fp32 ({named})"
