"""Pruning: score heads and neurons on the distillation loss, slice, and recover."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.compression.masks import layer_sizes
from distill.compression.scores import taylor_masks
from distill.compression.surgery import slice_model
from distill.data.batches import make_loader
from distill.export.transformers_folder import save_transformers
from distill.modules.base import Batch, model_inputs
from distill.objectives.logits import logits_loss
from distill.recipe.schema import PruneStage
from distill.stages.context import StageContext, StageResult
from distill.stages.distill import distil_logits, teacher_logits
from teachers.load import load_model

logger = logging.getLogger("distill")


def prune_stage(config: PruneStage, context: StageContext) -> StageResult:
    """Leave a student whose tensors are smaller, recovered by distillation."""
    sliced = context.folder / "sliced"
    if (sliced / "config.json").is_file():
        # A run killed during recovery goes on from the sliced model it had reached.
        student = load_model(sliced)
    else:
        student = _slice(config, context)
        save_transformers(student, context.workspace.tokenizer, sliced)
    heads, ffn = layer_sizes(student)
    if config.recover is None:
        return context.save_model(student, heads=heads, ffn=ffn)
    recovered, result = distil_logits(context, student, config.recover)
    return context.save_model(recovered, result, heads=heads, ffn=ffn)


def _slice(config: PruneStage, context: StageContext) -> PreTrainedModel:
    student = context.load_student()
    targets = teacher_logits(context, context.load_teacher())
    masks = taylor_masks(
        student,
        loss_of=_distillation_loss(targets),
        batches=_batches(config, context),
        heads=config.heads,
        ffn=config.ffn,
        steps=config.score_steps,
    )
    all_heads, all_ffn = layer_sizes(student)
    logger.info(
        "%s: keeps %d of %d heads and %d of %d feed-forward neurons",
        context.stage.name,
        sum(masks.heads_kept),
        sum(all_heads),
        sum(masks.ffn_kept),
        sum(all_ffn),
    )
    return slice_model(student, masks)


def _distillation_loss(targets: np.ndarray) -> Callable[[nn.Module, Batch], Tensor]:
    def loss_of(model: nn.Module, batch: Batch) -> Tensor:
        teacher = torch.from_numpy(targets[batch["index"].numpy()].copy())
        return logits_loss(model(**model_inputs(batch)).logits, teacher)

    return loss_of


def _batches(config: PruneStage, context: StageContext) -> Iterator[Batch]:
    """Training batches without end, in the order of the recipe's seed."""
    workspace = context.workspace
    loader = make_loader(
        workspace.tokenized(workspace.data.train),
        config.batch_size,
        seed=context.recipe.seed,
        shuffle=True,
    )
    while True:
        yield from loader
