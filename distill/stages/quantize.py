"""Quantisation: int8 weights and embeddings in ONNX, scored again before they pass."""

from __future__ import annotations

from distill.compression.quantize import quantize_onnx
from distill.export.onnx import export_onnx
from distill.recipe.schema import QuantizeStage
from distill.stages.context import StageContext, StageResult
from distill.stages.gate import pass_gate, scored_onnx
from teachers.load import load_model


def quantize_stage(config: QuantizeStage, context: StageContext) -> StageResult:
    """Leave ``model.onnx`` and ``model.int8.onnx`` in the stage's folder.

    Raises:
        GateError: int8 costs more of the score than ``max_drop``.
    """
    student = load_model(context.trained_student_folder())
    plain, int8 = context.folder / "model.onnx", context.folder / "model.int8.onnx"
    export_onnx(student, plain)
    quantize_onnx(plain, int8, per_channel=config.per_channel)
    before, after = scored_onnx(plain, context), scored_onnx(int8, context)
    pass_gate("int8", before=before, after=after, max_drop=config.max_drop, context=context)
    return StageResult(
        outputs=[plain, int8],
        facts={"score": after, "score_fp32": before, "bytes": int8.stat().st_size},
    )
