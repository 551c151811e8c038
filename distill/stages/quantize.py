"""Quantisation: int8, scored again before it passes, and a way back where it loses too much."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from distill.compression.graph import load_graph, plain_products, products
from distill.errors import ModelError
from distill.export.bundle import MODEL_FILES
from distill.export.onnx import export_onnx
from distill.export.openvino import is_installed, weights_of
from distill.processor import processor
from distill.recipe.schema import ExportStage, QuantizeStage
from distill.stages import ladder
from distill.stages.candidates import Candidate, Workbench, sample_rows
from distill.stages.context import StageContext, StageResult
from distill.stages.gate import pass_gate
from distill.stages.train_int8 import trained
from teachers.load import load_model

logger = logging.getLogger("distill")


def quantize_stage(config: QuantizeStage, context: StageContext) -> StageResult:
    """Leave ``model.onnx`` (fp32) and what was kept, such as ``model.int8.onnx``.

    Raises:
        GateError: int8 costs more of the score than ``max_drop``, and ``fallback`` is off.
    """
    for name in MODEL_FILES.values():  # of a stage that was killed
        (context.folder / name).unlink(missing_ok=True)
    plain = context.folder / MODEL_FILES["onnx"]
    samples = sample_rows(context, context.workspace.data.validation, 4)
    export_onnx(load_model(context.trained_student_folder()), plain, samples=samples)
    _check_names(config, plain)
    bench = Workbench(config, context, plain)
    first = _first(bench)
    kept = [candidate for candidate in first if bench.passes(candidate)]
    if not kept and not config.fallback:
        best = max(bench.tried, key=lambda candidate: candidate.score)
        pass_gate(
            best.what,
            before=bench.before,
            after=best.score,
            max_drop=config.max_drop,
            context=context,
        )
    if not kept:
        computed = config.activation_scales if config.method == "dynamic" else None
        found = ladder.step_back(bench, computed)
        kept = [found] if found is not None else []
    return _keep(bench, kept)


def _check_names(config: QuantizeStage, plain: Path) -> None:
    model = load_graph(plain)
    plain_products(model)
    names = [product.name for product in products(model)]
    for name in config.exclude:
        if name not in names:
            raise ModelError(f"quantize.exclude: no layer '{name}'; there are: {', '.join(names)}")


def _first(bench: Workbench) -> list[Candidate]:
    """What the recipe asks for: one candidate, or with ``auto`` all, the fastest first."""
    config, exclude = bench.config, list(bench.config.exclude)
    match config.method:
        case "dynamic":
            scales, per_channel = config.activation_scales, config.per_channel
            return [ladder.dynamic(bench, scales, per_channel=per_channel, exclude=exclude)]
        case "static":
            made = ladder.static(bench, per_channel=config.per_channel, exclude=exclude)
            return [made, *_static_openvino(bench, per_channel=config.per_channel)]
        case "weights_only":
            return [ladder.weights_only(bench, bits=config.bits, exclude=exclude)]
        case "qat":
            return trained(bench, openvino=_for_openvino(bench))
        case "nncf":
            return [ladder.nncf(bench, exclude=exclude)]
    for per_channel in (False, True):
        ladder.static(bench, per_channel=per_channel, exclude=exclude)
    if _static_openvino(bench, per_channel=True):
        ladder.nncf(bench, exclude=exclude)
    bench.time()
    return sorted(bench.tried, key=lambda candidate: candidate.ms or 0.0)


def _for_openvino(bench: Workbench) -> bool:
    """Whether the bundle will hold OpenVINO's files."""
    stages = bench.context.stages
    exports = [stage.config for stage in stages if isinstance(stage.config, ExportStage)]
    return is_installed() and any(export.exports("openvino") for export in exports)


def _static_openvino(bench: Workbench, *, per_channel: bool) -> list[Candidate]:
    """The same calibrated int8 for OpenVINO, where the bundle will hold its files."""
    if not _for_openvino(bench):
        return []
    return [ladder.static_openvino(bench, per_channel=per_channel)]


def _keep(bench: Workbench, passed: list[Candidate]) -> StageResult:
    """Give the best of each format its name, and tell what was tried and kept."""
    context, metric = bench.context, bench.metric
    best: dict[str, Candidate] = {}
    for candidate in passed:
        best.setdefault(candidate.format, candidate)
    files = {"onnx": "model.onnx"}
    outputs = [bench.plain]
    for format, candidate in best.items():
        target = context.folder / MODEL_FILES[format]
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".xml":
            shutil.copyfile(weights_of(candidate.path), weights_of(target))
            outputs.append(weights_of(target))
        shutil.copyfile(candidate.path, target)
        files[format] = MODEL_FILES[format]
        outputs.append(target)
    final = passed[0] if passed else None
    kept = final.line(metric) if final else f"fp32 ({metric} {bench.before:.4f}): int8 loses more"
    # What was tried alone and kept is told once.
    only = final if bench.tried == [final] else None
    refused = [candidate for candidate in bench.tried if not bench.passes(candidate)]
    because = (
        f"; {len(refused)} of {len(bench.tried)} tried lost more than {bench.config.max_drop:g}"
        if refused
        else ""
    )
    logger.info("%s: kept %s%s", context.stage.name, kept, because)
    return StageResult(
        outputs=outputs,
        facts={
            "score": final.score if final else bench.before,
            "score_fp32": bench.before,
            "bytes": final.bytes if final else bench.plain.stat().st_size,
            "method": bench.config.method,
            "kept": final.what if final else "fp32",
            "format": final.format if final else "onnx",
            "files": files,
            "formats": {name: dict(candidate.facts) for name, candidate in best.items()},
            "tried": [candidate.told() for candidate in bench.tried],
            "isa": list(processor().isa),
            "notes": [
                *(f"tried {one.line(metric)}" for one in bench.tried if one is not only),
                f"kept {kept}{because}",
            ],
        },
    )
