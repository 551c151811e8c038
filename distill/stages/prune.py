"""Pruning: remove parts of the student, recover, and step back where that cost too much."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from distill import atomic
from distill.compression.masks import layer_sizes
from distill.modules.session import FitResult
from distill.recipe.schema import PruneStage
from distill.recipe.schema.prune import TRIES
from distill.stages.context import StageContext, StageResult
from distill.stages.distill import distil_logits
from distill.stages.prune_units import UnitPruner
from teachers.load import load_model

logger = logging.getLogger("distill")


def prune_stage(config: PruneStage, context: StageContext) -> StageResult:
    """Leave a student whose tensors are smaller, recovered by distillation.

    With ``max_drop``, a student that lost more is thrown away and half as much is removed, a few
    times over; where nothing passes, the student is left as it was.
    """
    if config.max_drop is None:
        student, result, facts = _prune(config, context, context.folder, ease=1.0)
        return _save(context, student, result, facts)
    return _step_back(config, context, config.max_drop)


def _prune(
    config: PruneStage, context: StageContext, folder: Path, *, ease: float
) -> tuple[PreTrainedModel, FitResult | None, dict[str, Any]]:
    """Prune and recover in a folder; what a stopped run left there is gone on with."""
    sliced = folder / "sliced"
    told = sliced / "told.json"  # written last: with it the sliced model is whole
    if not told.is_file():
        student, facts = UnitPruner(config, context, folder)(context.load_student(), ease)
        context.save_weights(student, sliced)
        atomic.write_json(told, facts)
    student = load_model(sliced)
    facts = json.loads(told.read_text("utf-8"))
    if config.recover is None:
        return student, None, facts
    part = folder.relative_to(context.folder)
    learned = distil_logits(context, student, config.recover, part=part, augmented=config.augmented)
    return *learned, facts


def _save(
    context: StageContext,
    student: PreTrainedModel,
    result: FitResult | None,
    facts: dict[str, Any],
) -> StageResult:
    heads, ffn = layer_sizes(student)
    before_heads, before_ffn = layer_sizes(context.load_student())
    notes = [
        f"keeps {sum(heads)} of {sum(before_heads)} heads and {sum(ffn)} of {sum(before_ffn)} "
        "feed-forward neurons",
        *_budget_note(facts),
        *facts.pop("notes", []),
    ]
    for note in notes:
        logger.info("%s: %s", context.stage.name, note)
    return context.save_model(student, result, heads=heads, ffn=ffn, notes=notes, **facts)


def _budget_note(facts: dict[str, Any]) -> list[str]:
    budget = facts.get("budget")
    if budget is None:
        return []
    if budget["kind"] == "latency_ms":
        return [
            f"int8 takes {budget['reached']:.2f} ms (before {budget['before']:.2f}) at length "
            f"{budget['length']}, {budget['threads']} threads; {budget['asked']:.2f} ms asked"
        ]
    what = {"macs": "MACs", "parameters": "parameters"}[budget["kind"]]
    return [f"{budget['reached']:.1%} of the encoder's {what}; at most {budget['asked']:.1%} asked"]


def _step_back(config: PruneStage, context: StageContext, max_drop: float) -> StageResult:
    before = context.validation_score(context.load_student())
    tried: list[dict[str, Any]] = []
    for number in range(1, (config.tries or TRIES) + 1):
        ease = 0.5 ** (number - 1)
        folder = context.folder / f"try-{number}"
        student, result, facts = _prune(config, context, folder, ease=ease)
        after = context.validation_score(student)
        tried.append({"removed": ease, "score": after, "drop": before - after})
        if before - after <= max_drop:
            facts["notes"] = [_verdict(tried, max_drop)]
            return _save(context, student, result, {**facts, "tries": tried})
        logger.info(
            "%s: lost %.4f, more than max_drop %g, with %.0f %% of the removal",
            *(context.stage.name, before - after, max_drop, 100 * ease),
        )
    facts = {"tries": tried, "notes": [_verdict(tried, max_drop)]}
    return _save(context, context.load_student(), None, facts)


def _verdict(tried: list[dict[str, Any]], max_drop: float) -> str:
    last = tried[-1]
    if last["drop"] > max_drop:
        least = min(entry["drop"] for entry in tried)
        return (
            f"not pruned: each of {len(tried)} tries lost {least:.4f} or more, max_drop is "
            f"{max_drop:g}"
        )
    told = f"score {-last['drop']:+.4f}, within max_drop {max_drop:g}"
    if len(tried) > 1:
        told += f", after removing only {last['removed']:.0%} of what was asked"
    return told
