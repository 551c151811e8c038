"""Stages: one file per kind, each a function of its configuration and a context."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from distill.stages.augment import augment_stage
from distill.stages.context import StageContext, StageResult
from distill.stages.distill import distill_stage, pretrain_stage
from distill.stages.evaluate import evaluate_stage
from distill.stages.export import export_stage
from distill.stages.prune import prune_stage
from distill.stages.quantize import quantize_stage
from distill.stages.teacher import baseline_stage, teacher_stage

#: What does each kind of stage.
STAGES: dict[str, Callable[[Any, StageContext], StageResult]] = {
    "teacher": teacher_stage,
    "baseline": baseline_stage,
    "augment": augment_stage,
    "pretrain": pretrain_stage,
    "distill": distill_stage,
    "prune": prune_stage,
    "quantize": quantize_stage,
    "export": export_stage,
    "evaluate": evaluate_stage,
}
