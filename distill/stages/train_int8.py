"""Quantisation-aware training: the student learns the teacher's logits with int8 simulated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

from distill.compression.qat import Trained, train_int8
from distill.compression.qat_checkpoint import Int8Checkpoint
from distill.compression.quantize import quantize_onnx
from distill.data.batches import make_loader
from distill.export.onnx import export_onnx
from distill.modules.base import Batch
from distill.stages.candidates import Candidate, Workbench
from distill.stages.distill import teacher_logits
from distill.stages.ladder import but, channels, int8_facts, openvino_int8
from distill.stages.output_loss import output_loss
from teachers.load import load_model


def trained(bench: Workbench, *, openvino: bool) -> list[Candidate]:
    """Train the student for int8 and quantise it with the scales of its training.

    The fp32 files stay those of the student as it came: only the int8 graphs have the new weights.

    Args:
        bench: where the candidates are tried.
        openvino: quantise it for OpenVINO too.
    """
    config = bench.config
    result = _train(bench)
    plain = bench.folder / "trained.fp32.onnx"
    export_onnx(result.model, plain)
    ways: dict[str, tuple[str, Callable[..., None]]] = {"": ("onnx-int8", quantize_onnx)}
    if openvino:
        ways[", OpenVINO"] = ("openvino-int8", openvino_int8)
    what = f"trained ({config.algorithm}), {channels(config.per_channel)}"
    given = {
        "scales": result.scales,
        "per_channel": config.per_channel,
        "weight_bits": config.weight_bits,
        "exclude": list(config.exclude),
    }
    return [
        bench.try_out(
            f"{what}{but(config.exclude)}{where}",
            format,
            partial(quantize, plain, **given),
            facts=int8_facts(bench, None),
        )
        for where, (format, quantize) in ways.items()
    ]


def _train(bench: Workbench) -> Trained:
    config, context = bench.config, bench.context
    workspace = context.workspace
    rows = workspace.tokenized(workspace.data.train)
    targets = teacher_logits(context, context.load_teacher())

    def batches(epoch: int) -> Iterator[Batch]:
        seed = context.recipe.seed + 1000 * epoch
        yield from make_loader(rows, config.train.batch_size, seed=seed, shuffle=True)

    return train_int8(
        load_model(context.trained_student_folder()),
        loss_of=output_loss(workspace.task, targets),
        batches=batches,
        steps=math.ceil(len(rows) / config.train.batch_size),
        config=config.train,
        algorithm=config.algorithm,
        per_channel=config.per_channel,
        weight_bits=config.weight_bits,
        exclude=config.exclude,
        seed=context.recipe.seed + context.stage.index,
        checkpoint=Int8Checkpoint(
            context.folder / "checkpoint" / "last.ckpt", context.recipe.trainer.checkpoint_steps
        ),
    )
