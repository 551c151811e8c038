"""A second 1x beside the teacher: BERT-base as it is used without any of this."""

from __future__ import annotations

from typing import Any

import torch
from transformers import BertConfig

from distill.evaluation.cost import macs, parameters, parameters_no_embeddings
from distill.evaluation.predictors import TorchPredictor
from distill.evaluation.results import Reference
from students.heads import class_of
from students.pooling import POOLING

#: Name in a recipe, and how the shape differs from that of ``BertConfig``: 12 layers of width 768.
SHAPES: dict[str, dict[str, Any]] = {"bert-base": {}}
REFERENCE_VOCABULARY = 30522
_POSITIONS = 512


def reference(
    name: str,
    *,
    threads: int,
    length: int,
    longest: int = _POSITIONS,
    labels: int = 2,
    head: str = "classification",
) -> tuple[TorchPredictor, Reference]:
    """A model of a known shape (a key of :data:`SHAPES`) with random weights in PyTorch eager.

    It has no score: only its speed and size mean anything.

    Returns:
        The model, and what it costs; multiply-accumulates are those of ``length`` tokens.
    """
    positions = max(_POSITIONS, longest)
    shape = SHAPES[name] | {
        "vocab_size": REFERENCE_VOCABULARY,
        "num_labels": labels,
        POOLING: "mean" if head == "vectors" else None,
        "max_position_embeddings": positions,
    }
    config = BertConfig.from_dict(shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = class_of(config, head)(config)
    count = parameters(model)
    facts = Reference(
        name=name,
        format=TorchPredictor.format,
        parameters=count,
        parameters_no_embeddings=parameters_no_embeddings(model),
        macs=macs(model, length),
        bytes=4 * count,
    )
    return TorchPredictor(model, threads, name=name), facts
