"""Pruning other than of heads and neurons: whole layers, and word pieces."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from distill.data.split import Split
from distill.pruning.layers import keep_layers, layers_to_keep
from distill.pruning.masks import encoder_layers
from distill.pruning.subwords import (
    count_pieces,
    coverage,
    ids_to_keep,
    trim_embeddings,
    trim_tokenizer,
)
from distill.recipe.schema import PruneStage
from distill.recipe.schema.prune import SCORE_STEPS
from distill.stages.context import StageContext
from distill.stages.distill import teacher_logits
from distill.stages.output_loss import output_loss
from distill.stages.prune_units import training_batches


def layers_removed(student: PreTrainedModel, config: PruneStage, ease: float) -> int:
    """How many layers go: all that were asked for, or the part ``ease`` of them, rounded down."""
    depth = len(encoder_layers(student))
    asked = depth - len(config.keep) if config.keep else config.layers or 0
    return int(asked * ease)


def remove_layers(
    student: PreTrainedModel, config: PruneStage, context: StageContext, ease: float
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Keep the layers that are named; where fewer go than were asked for, the best ones.

    Returns:
        The shallower student, and which layers it has.
    """
    if config.keep and ease == 1.0:
        keep = config.keep
    else:
        keep = layers_to_keep(
            student,
            loss_of=output_loss(
                context.workspace.task, teacher_logits(context, context.load_teacher())
            ),
            batches=training_batches(context, config.batch_size),
            remove=layers_removed(student, config, ease),
            steps=config.score_steps or SCORE_STEPS,
        )
    told = f"layers {', '.join(map(str, keep))} stay"
    return keep_layers(student, keep), {"layers": list(keep), "notes": [told]}


def trim_vocabulary(
    student: PreTrainedModel, config: PruneStage, context: StageContext, ease: float
) -> tuple[PreTrainedModel, dict[str, Any], PreTrainedTokenizerFast]:
    """Keep the word pieces that the training texts have at least ``min_count`` times.

    Where less is removed than could be, the first of the others stay too: vocabularies are made
    with the frequent pieces first.

    Returns:
        The student with fewer word embeddings, what is told of it, and its tokenizer.
    """
    data, tokenizer = context.workspace.data, context.workspace.tokenizer
    found, least = count_pieces(tokenizer, _texts(data.train)), config.min_count or 1
    keep = ids_to_keep(tokenizer, (piece for piece, count in found.items() if count >= least))
    known = set(keep)
    others = [index for index in range(len(tokenizer)) if index not in known]
    keep = sorted([*keep, *others[: round(len(others) * (1.0 - ease))]])
    trimmed = trim_tokenizer(tokenizer, keep)
    before, after = (coverage(t, _texts(data.validation)) for t in (tokenizer, trimmed))
    facts = {
        "vocabulary": {
            "before": len(tokenizer),
            "after": len(keep),
            "unknown_before": round(before.rate, 6),
            "unknown_after": round(after.rate, 6),
            "pieces_before": before.pieces,
            "pieces_after": after.pieces,
        },
        "notes": [
            f"keeps {len(keep):,} of {len(tokenizer):,} word pieces; validation texts: "
            f"{before.rate:.2%} of pieces unknown before and {after.rate:.2%} after, "
            f"{after.pieces / max(1, before.pieces) - 1:+.1%} pieces"
        ],
    }
    return trim_embeddings(student, keep), facts, trimmed


def _texts(split: Split) -> list[str]:
    return [*split.texts, *(split.pairs or ())]
