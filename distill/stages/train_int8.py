"""Quantisation-aware training: the student learns the teacher's logits with int8 simulated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from distill.compression.qat import train_int8
from distill.compression.qat_checkpoint import Int8Checkpoint
from distill.compression.static import quantize_static
from distill.data.batches import make_loader
from distill.export.onnx import export_onnx
from distill.modules.base import Batch
from distill.stages.candidates import Candidate, Workbench
from distill.stages.distill import teacher_logits
from distill.stages.ladder import but, channels
from distill.stages.output_loss import output_loss
from teachers.load import load_model


def trained(bench: Workbench) -> Candidate:
    """Train the student for int8 and quantise it with the scales of its training.

    The fp32 files stay those of the student as it came: only the int8 graph has the new weights.
    """
    config, exclude = bench.config, list(bench.config.exclude)
    return bench.try_out(
        f"trained ({config.algorithm}), {channels(config.per_channel)}{but(exclude)}",
        "onnx-int8",
        lambda path: _train(bench, path),
    )


def _train(bench: Workbench, path: Path) -> None:
    config, context = bench.config, bench.context
    workspace = context.workspace
    rows = workspace.tokenized(workspace.data.train)
    targets = teacher_logits(context, context.load_teacher())

    def batches(epoch: int) -> Iterator[Batch]:
        seed = context.recipe.seed + 1000 * epoch
        yield from make_loader(rows, config.train.batch_size, seed=seed, shuffle=True)

    result = train_int8(
        load_model(context.trained_student_folder()),
        loss_of=output_loss(workspace.task, targets),
        batches=batches,
        steps=math.ceil(len(rows) / config.train.batch_size),
        config=config.train,
        algorithm=config.algorithm,
        per_channel=config.per_channel,
        exclude=config.exclude,
        seed=context.recipe.seed + context.stage.index,
        checkpoint=Int8Checkpoint(
            context.folder / "checkpoint" / "last.ckpt", context.recipe.trainer.checkpoint_steps
        ),
    )
    plain = path.with_suffix(".fp32.onnx")
    export_onnx(result.model, plain)
    quantize_static(
        plain, path, scales=result.scales, per_channel=config.per_channel, exclude=config.exclude
    )
