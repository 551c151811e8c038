"""The way back: what is tried when int8 loses more of the score than allowed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from distill.compression.graph import Scales
from distill.compression.nncf_quantize import quantize_nncf
from distill.compression.quantize import quantize_onnx, quantize_per_batch
from distill.compression.sensitivity import by_sensitivity
from distill.compression.static import quantize_qdq
from distill.compression.weights_only import quantize_embeddings, quantize_weights
from distill.export.openvino import export_openvino
from distill.recipe.schema import ActivationScales
from distill.stages.candidates import Candidate, Workbench, sample_rows

logger = logging.getLogger("distill")

_ROWS = 64  # to compare logits on, when layers are ordered by sensitivity


def static(bench: Workbench, *, per_channel: bool, exclude: list[str]) -> Candidate:
    """int8 with calibrated scales of activations."""
    return bench.try_out(
        f"{named(bench, None)}, {channels(per_channel)}{but(exclude)}",
        "onnx-int8",
        lambda path: quantize_onnx(
            bench.plain,
            path,
            scales=bench.scales(bench.config.calibration),
            per_channel=per_channel,
            weight_bits=bench.config.weight_bits,
            exclude=exclude,
        ),
        facts=int8_facts(bench, None),
    )


def dynamic(
    bench: Workbench, scales: ActivationScales, *, per_channel: bool, exclude: list[str]
) -> Candidate:
    """int8 with scales of activations that are computed at inference."""
    if scales == "per_batch":
        logger.warning(
            "%s: activation_scales: per_batch: what the model answers to a text will depend on the "
            "texts that share its batch, and on padding",
            bench.context.stage.name,
        )
    quantize = quantize_per_batch if scales == "per_batch" else quantize_onnx
    return bench.try_out(
        f"{named(bench, scales)}, {channels(per_channel)}{but(exclude)}",
        "onnx-int8",
        lambda path: quantize(
            bench.plain,
            path,
            per_channel=per_channel,
            weight_bits=bench.config.weight_bits,
            exclude=exclude,
        ),
        facts=int8_facts(bench, scales),
    )


def static_openvino(bench: Workbench, *, per_channel: bool) -> Candidate:
    """int8 with calibrated scales for OpenVINO."""
    exclude = list(bench.config.exclude)
    return bench.try_out(
        f"{named(bench, None)}, {channels(per_channel)}{but(exclude)}, OpenVINO",
        "openvino-int8",
        lambda path: openvino_int8(
            bench.plain,
            path,
            scales=bench.scales(bench.config.calibration),
            per_channel=per_channel,
            weight_bits=bench.config.weight_bits,
            exclude=exclude,
        ),
        facts=int8_facts(bench, None),
    )


def openvino_int8(
    plain: Path,
    path: Path,
    *,
    scales: Mapping[str, Scales],
    per_channel: bool,
    weight_bits: int,
    exclude: list[str],
) -> None:
    """Write OpenVINO's files of a graph with fixed scales."""
    pairs = path.with_suffix(".qdq.onnx")
    quantize_qdq(
        plain,
        pairs,
        scales=scales,
        per_channel=per_channel,
        weight_bits=weight_bits,
        exclude=exclude,
    )
    export_openvino(pairs, path)
    pairs.unlink()


def nncf(bench: Workbench, *, exclude: list[str]) -> Candidate:
    """Static int8 for OpenVINO."""
    return bench.try_out(
        f"nncf, SmoothQuant {bench.config.smooth:g}{but(exclude)}",
        "openvino-int8",
        lambda path: quantize_nncf(
            bench.plain,
            path,
            rows=bench.rows,
            smooth=bench.config.smooth,
            weight_bits=bench.config.weight_bits,
            exclude=exclude,
        ),
        facts=int8_facts(bench, None),
    )


def weights_only(bench: Workbench, *, bits: int, exclude: list[str]) -> Candidate:
    """Small weights, products in fp32."""
    return bench.try_out(
        f"weights only, {bits} bits{but(exclude)}",
        "onnx-int8" if bits == 8 else "onnx-int4",
        lambda path: quantize_weights(bench.plain, path, bits=bits, exclude=exclude),
    )


def step_back(bench: Workbench, scales: ActivationScales | None) -> Candidate | None:
    """Find the smallest step back from int8 that passes; ``None`` if only fp32 does.

    In this order, which is that of falling speed: one scale for each channel; the most sensitive
    layers in fp32, as few as will do; one scale for each token, where scales were calibrated; small
    weights with products in fp32; embedding tables alone.

    Args:
        bench: where candidates are tried; what failed before is in it.
        scales: of the activations; ``None`` for calibrated ones.
    """
    config = bench.config
    build: Callable[..., Candidate] = partial(static, bench)
    if scales is not None:
        build = partial(dynamic, bench, scales)
    exclude = list(config.exclude)
    method = f"{named(bench, scales)}, {channels(True)}"
    steps: list[Callable[[], Candidate | None]] = []
    if not any(candidate.what.startswith(method) for candidate in bench.tried):
        steps.append(lambda: build(per_channel=True, exclude=exclude))
    steps.append(lambda: _fewest_in_fp32(bench, build, fixed=scales is None))
    if scales is None:
        steps.append(lambda: dynamic(bench, "per_token", per_channel=True, exclude=exclude))
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
        weight_bits=bench.config.weight_bits,
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


def int8_facts(bench: Workbench, scales: ActivationScales | None) -> dict[str, Any]:
    """What the bundle says of products in int8; ``None`` for calibrated scales."""
    return {
        "activation_scales": scales or "calibrated",
        "weight_bits": bench.config.weight_bits,
    }


def named(bench: Workbench, scales: ActivationScales | None) -> str:
    """A method by its scales of activations; ``None`` for calibrated ones."""
    return f"static {bench.config.calibration}" if scales is None else f"dynamic {scales}"


def channels(per_channel: bool) -> str:
    """How weights are scaled, in words."""
    return "per channel" if per_channel else "per tensor"


def but(exclude: list[str]) -> str:
    """Which layers are left out, in words."""
    if not exclude:
        return ""
    named = ", ".join(exclude[:3]) + (", ..." if len(exclude) > 3 else "")
    return f", {len(exclude)} {'layer' if len(exclude) == 1 else 'layers'} in fp32 ({named})"
