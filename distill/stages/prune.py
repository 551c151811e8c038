"""Pruning: remove parts of the student, recover, and step back where that cost too much."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from distill import atomic
from distill.modules.checkpoint import is_whole
from distill.modules.session import FitResult
from distill.pruning.masks import layer_sizes
from distill.recipe.schema import PruneStage
from distill.recipe.schema.prune import TRIES, width_left
from distill.run_folder import read_mapping
from distill.stages.context import StageContext, StageResult
from distill.stages.distill import distil_logits
from distill.stages.prune_parts import layers_removed, remove_layers, trim_vocabulary
from distill.stages.prune_units import UnitPruner
from teachers.load import load_model, load_tokenizer

logger = logging.getLogger("distill")


@dataclass(frozen=True)
class _Pruned:
    """A student that something was taken from, before and after its recovery.

    Args:
        model: the student.
        facts: what is told of how it came about.
        tokenizer: its own, where its vocabulary was trimmed.
        fit: its recovery.
    """

    model: PreTrainedModel
    facts: dict[str, Any]
    tokenizer: PreTrainedTokenizerFast | None = None
    fit: FitResult | None = None


def prune_stage(config: PruneStage, context: StageContext) -> StageResult:
    """Leave a student whose tensors are smaller, recovered by distillation.

    With ``max_drop``, a student that lost more is thrown away and half as much is removed, a few
    times over; where nothing passes, the student is left as it was.
    """
    if config.max_drop is None:
        return _save(context, _prune(config, context, context.folder, ease=1.0))
    return _step_back(config, context, config.max_drop)


def _prune(config: PruneStage, context: StageContext, folder: Path, *, ease: float) -> _Pruned:
    """Prune and recover in a folder; what a stopped run left there is gone on with."""
    sliced = folder / "sliced"
    told = sliced / "told.json"  # written last: with it the sliced model is whole
    if read_mapping(told) is None or not is_whole(sliced / "model.safetensors"):
        made = _smaller(config, context, folder, ease)
        context.save_weights(made.model, sliced, tokenizer=made.tokenizer)
        atomic.write_json(told, made.facts)
    student, facts = load_model(sliced), json.loads(told.read_text("utf-8"))
    if config.method == "vocabulary":
        return _Pruned(student, facts, load_tokenizer(sliced, written_here=True))
    if config.recover is None:
        return _Pruned(student, facts)
    part = folder.relative_to(context.folder)
    recovered, result = distil_logits(
        context, student, config.recover, part=part, augmented=config.augmented
    )
    return _Pruned(recovered, facts, fit=result)


def _smaller(config: PruneStage, context: StageContext, folder: Path, ease: float) -> _Pruned:
    """Take away what the stage asks for, or a part of it."""
    student = context.load_student()
    if config.method == "vocabulary":
        return _Pruned(*trim_vocabulary(student, config, context, ease))
    if config.method == "depth":
        return _Pruned(*remove_layers(student, config, context, ease))
    return _Pruned(*UnitPruner(config, context, folder)(student, ease))


def _save(context: StageContext, pruned: _Pruned) -> StageResult:
    heads, ffn = layer_sizes(pruned.model)
    notes = [
        *_sizes_note(context, pruned.model),
        *_budget_note(pruned.facts),
        *pruned.facts.pop("notes", []),
    ]
    for note in notes:
        logger.info("%s: %s", context.stage.name, note)
    sizes = {"heads": heads, "ffn": ffn, "hidden": int(pruned.model.config.hidden_size)}
    facts = {**sizes, "notes": notes, **pruned.facts}
    return context.save_model(pruned.model, pruned.fit, tokenizer=pruned.tokenizer, **facts)


def _sizes_note(context: StageContext, student: PreTrainedModel) -> list[str]:
    whole = context.load_student()
    before, after = layer_sizes(whole), layer_sizes(student)
    found = []
    if len(before[0]) != len(after[0]):
        found.append(f"keeps {len(after[0])} of {len(before[0])} layers")
    elif before != after:
        (heads, ffn), (all_heads, all_ffn) = map(sum, after), map(sum, before)
        found.append(
            f"keeps {heads} of {all_heads} heads and {ffn} of {all_ffn} feed-forward neurons"
        )
    if (width := student.config.hidden_size) != whole.config.hidden_size:
        found.append(f"keeps {width} of {whole.config.hidden_size} hidden dimensions")
    return found


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
    student = context.load_student()
    before = context.validation_score(student)
    tried: list[dict[str, Any]] = []
    for number in range(1, (config.tries or TRIES) + 1):
        ease = 0.5 ** (number - 1)
        if not _removes(config, student, ease):
            break
        pruned = _prune(config, context, context.folder / f"try-{number}", ease=ease)
        after = context.validation_score(pruned.model, pruned.tokenizer)
        tried.append({"removed": ease, "score": after, "drop": before - after})
        if before - after <= max_drop:
            notes = [*pruned.facts.get("notes", []), _verdict(tried, max_drop)]
            facts = {**pruned.facts, "notes": notes, "tries": tried}
            return _save(context, replace(pruned, facts=facts))
        logger.info(
            "%s: lost %.4f, more than max_drop %g, with %.0f %% of the removal",
            *(context.stage.name, before - after, max_drop, 100 * ease),
        )
    facts = {"tries": tried, "notes": [_verdict(tried, max_drop)]}
    return _save(context, _Pruned(student, facts, _own_tokenizer(config, context)))


def _removes(config: PruneStage, student: PreTrainedModel, ease: float) -> bool:
    """Whether so small a part of what was asked for is still a layer, or eight dimensions."""
    if config.method == "depth":
        return bool(layers_removed(student, config, ease))
    if config.hidden is not None and not config.removes_units:
        width = int(student.config.hidden_size)
        return width_left(width, ease * config.hidden) < width
    return True


def _own_tokenizer(config: PruneStage, context: StageContext) -> PreTrainedTokenizerFast | None:
    """What a student left as it was reads with; a vocabulary stage is asked for it afterwards."""
    return context.workspace.tokenizer if config.method == "vocabulary" else None


def _verdict(tried: list[dict[str, Any]], max_drop: float) -> str:
    if not tried:
        return "not pruned: what was asked for is less than a layer or eight hidden dimensions"
    last = tried[-1]
    if last["drop"] > max_drop:
        least = min(entry["drop"] for entry in tried)
        several = f"each of {len(tried)} tries lost {least:.4f} or more"
        one = f"1 try lost {least:.4f}"
        return f"not pruned: {several if len(tried) > 1 else one}, max_drop is {max_drop:g}"
    told = f"score {0.0 - last['drop']:+.4f}, within max_drop {max_drop:g}"
    if len(tried) > 1:
        told += f", after removing only {last['removed']:.0%} of what was asked"
    return told
