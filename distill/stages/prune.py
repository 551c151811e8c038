"""The prune stage: a method removes parts of the student; recover, step back if it cost much."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.data.tokenized import TokenExamples
from distill.pruning.bench import Bench, Pruned
from distill.pruning.masks import layer_sizes
from distill.pruning.methods.base import TRIES, PruneStage
from distill.run_folder import read_mapping
from distill.section import TrainConfig
from distill.stages.context import StageContext, StageResult
from distill.stages.distill import distil_logits, output_loss, teacher_logits
from distill.system import atomic
from distill.training.base import Batch
from distill.training.checkpoint import is_whole
from distill.training.data import endless_batches
from distill.training.fit import FitResult
from teachers.load import load_model, load_tokenizer

logger = logging.getLogger("distill")


def bench_of(context: StageContext, place: Path) -> Bench:
    """What methods are given of a run; ``place`` keeps the models on the way, for a stopped run."""
    workspace, recipe = context.workspace, context.recipe

    def examples() -> TokenExamples:
        return workspace.tokenized(workspace.data.train)

    def texts(split: str) -> list[str]:
        rows = getattr(workspace.data, split)
        chunks = rows.chunks(len(rows))
        return [text for texts, pairs in chunks for text in (*texts, *(pairs or ()))]

    @cache
    def loss() -> Callable[[nn.Module, Batch], Tensor]:
        return output_loss(workspace.task, teacher_logits(context))

    return Bench(
        examples=examples,
        seed=recipe.seed + context.stage.index,
        folder=context.folder,
        tokenizer=workspace.tokenizer,
        texts=texts,
        batches=lambda size: endless_batches(examples(), size, seed=recipe.seed),
        loss_of=lambda model, batch: loss()(model, batch),
        recovered=partial(_recovered, context, place),
    )


def _recovered(
    context: StageContext,
    place: Path,
    number: int,
    cut: Callable[[], PreTrainedModel],
    recover: TrainConfig,
) -> PreTrainedModel:
    folder, config = place / f"round-{number}", context.stage.config
    if not is_whole(folder / "model" / "model.safetensors"):
        part = folder.relative_to(context.folder)
        augmented = isinstance(config, PruneStage) and config.learns_augmented
        model, _ = distil_logits(context, cut(), recover, part=part, augmented=augmented)
        context.save_weights(model, folder / "model")
    rounds = config.rounds if isinstance(config, PruneStage) else number
    logger.info("%s: round %d of %d", context.stage.name, number, rounds)
    return load_model(folder / "model")


def prune_stage(config: PruneStage, context: StageContext) -> StageResult:
    """Leave a student whose tensors are smaller, recovered by distillation.

    With ``max_drop``, a student that lost more is thrown away and half as much is removed, a few
    times over; where nothing passes, the student is left as it was.
    """
    if config.max_drop is None:
        return _save(context, *_prune(config, context, context.folder, ease=1.0))
    return _step_back(config, context, config.max_drop)


def _prune(
    config: PruneStage, context: StageContext, folder: Path, *, ease: float
) -> tuple[Pruned, FitResult | None]:
    """Prune and recover in a folder; what a stopped run left there is gone on with."""
    sliced = folder / "sliced"
    file = sliced / "facts.json"  # written last: with it the sliced model is whole
    if read_mapping(file) is None or not is_whole(sliced / "model.safetensors"):
        made = config.prune(context.load_student(), bench_of(context, folder), ease)
        context.save_weights(made.model, sliced, tokenizer=made.tokenizer)
        atomic.write_json(file, made.facts)
    student, facts = load_model(sliced), json.loads(file.read_text("utf-8"))
    tokenizer = load_tokenizer(sliced, written_here=True) if config.own_tokens else None
    if config.recovery is None:
        return Pruned(student, facts, tokenizer), None
    part = folder.relative_to(context.folder)
    recovered, result = distil_logits(
        context, student, config.recovery, part=part, augmented=config.learns_augmented
    )
    return Pruned(recovered, facts, tokenizer), result


def _save(context: StageContext, pruned: Pruned, fit: FitResult | None = None) -> StageResult:
    heads, ffn = layer_sizes(pruned.model)
    notes = [
        *_sizes_note(context, pruned.model),
        *_budget_note(pruned.facts),
        *pruned.facts.get("notes", []),
    ]
    for note in notes:
        logger.info("%s: %s", context.stage.name, note)
    sizes = {"heads": heads, "ffn": ffn, "hidden": int(pruned.model.config.hidden_size)}
    facts = {**sizes, **pruned.facts, "notes": notes}
    return context.save_model(pruned.model, fit, tokenizer=pruned.tokenizer, **facts)


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
        if not config.removes(student, ease):
            break
        pruned, fit = _prune(config, context, context.folder / f"try-{number}", ease=ease)
        after = context.validation_score(pruned.model, pruned.tokenizer)
        tried.append({"removed": ease, "score": after, "drop": before - after})
        if before - after <= max_drop:
            notes = [*pruned.facts.get("notes", []), _verdict(tried, max_drop)]
            facts = {**pruned.facts, "notes": notes, "tries": tried}
            return _save(context, Pruned(pruned.model, facts, pruned.tokenizer), fit)
        logger.info(
            "%s: lost %.4f, more than max_drop %g, with %.0f %% of the removal",
            *(context.stage.name, before - after, max_drop, 100 * ease),
        )
    facts = {"tries": tried, "notes": [_verdict(tried, max_drop)]}
    # A student left as it was is read with its own tokenizer, which later stages look for here.
    tokenizer = context.workspace.tokenizer if config.own_tokens else None
    return _save(context, Pruned(student, facts, tokenizer))


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
