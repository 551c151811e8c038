"""Export: the final model in every format asked for, checked, in one folder to deploy."""

from __future__ import annotations

import shutil
from pathlib import Path

from distill.export.bundle import write_bundle
from distill.export.onnx import export_onnx
from distill.recipe.schema import ExportStage
from distill.stages.card import write_card
from distill.stages.context import StageContext, StageResult
from distill.stages.gate import pass_gate, scored_onnx
from teachers.load import load_model


def export_stage(config: ExportStage, context: StageContext) -> StageResult:
    """Write the bundle.

    Raises:
        GateError: an exported format scores lower than the torch model by more than ``max_drop``.
    """
    source = context.trained_student_folder()
    stage = context.student_stage()
    before = float(context.run.read_stage(stage)["score"]) if stage else 0.0
    onnx = _onnx_files(source, context) if "onnx" in config.formats else {}
    scores = {}
    for name, path in onnx.items():
        scores[name] = scored_onnx(path, context)
        # int8 has passed its own gate against the same model in fp32.
        if name == "onnx":
            pass_gate(
                name, before=before, after=scores[name], max_drop=config.max_drop, context=context
            )
    workspace = context.workspace
    write_bundle(
        context.run.bundle,
        transformers_folder=source if "transformers" in config.formats else None,
        tokenizer_folder=source,
        onnx=onnx,
        info={
            "name": context.recipe.name,
            "task": context.recipe.task.kind,
            "labels": list(workspace.data.labels),
            "pair": workspace.data.train.pairs is not None,
            "max_length": context.recipe.data.max_length,
        },
    )
    write_card(context, None)
    weights = [
        path for path in context.run.bundle.rglob("*") if path.suffix in {".onnx", ".safetensors"}
    ]
    return StageResult(
        outputs=sorted(weights),
        facts={"score": before, "scores_by_format": scores, "bundle": context.run.bundle.name},
    )


def _onnx_files(source: Path, context: StageContext) -> dict[str, Path]:
    """The ONNX files by format: those of the quantize stage, or a fresh fp32 export."""
    quantized = context.earlier("quantize")
    if quantized is not None:
        folder = context.run.stage(quantized)
        return {"onnx": folder / "model.onnx", "onnx-int8": folder / "model.int8.onnx"}
    target = context.folder / "model.onnx"
    shutil.rmtree(target, ignore_errors=True)
    export_onnx(load_model(source), target)
    return {"onnx": target}
