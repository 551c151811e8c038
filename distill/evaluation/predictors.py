"""One way to ask any model for logits: torch eager or a runtime, on a stated number of threads.

Legend: B batch, L length, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from transformers import BertConfig

from distill.evaluation.cost import macs, parameters, parameters_no_embeddings
from distill.evaluation.results import LINEAR, Reference
from distill.runtime.backends import open_session
from distill.system.processor import physical_cores
from distill.tasks.floors import Answer
from students.anatomy import INPUTS
from students.heads import class_of, logits_of
from students.pooling import POOLING

#: Name in a recipe, and how the shape differs from that of ``BertConfig``: 12 layers of width 768.
SHAPES: dict[str, dict[str, Any]] = {"bert-base": {}}
REFERENCE_VOCABULARY = 30522
_POSITIONS = 512

Batch = Mapping[str, npt.NDArray[Any]]
Logits = npt.NDArray[np.float32]


class Predictor(Protocol):
    """A model as the evaluation sees it: a batch of token ids in, logits out.

    ``name`` is what tables call it and ``format`` is ``transformers`` or one of the runtime's.
    """

    name: str
    format: str

    def __call__(self, batch: Batch) -> Logits:
        """Logits of ``input_ids``, ``attention_mask`` and ``token_type_ids``, each (B, L).

        Their shape is that of :func:`students.heads.logits_of`. ``index`` (B,) names the rows that
        a batch is of, where they are known.
        """


class TorchPredictor:
    """A ``transformers`` model in eager fp32, the way a user calls it.

    The model is put into eval mode; its attention implementation is left as it was loaded (SDPA).
    Torch keeps one number of threads for the whole process, which a call sets;
    :func:`torch_threads` puts the old one back.
    """

    format = "transformers"

    def __init__(
        self, model: torch.nn.Module, threads: int | None = None, *, name: str = "torch"
    ) -> None:
        self.model = model.float().eval()
        self.threads = threads
        self.name = name

    def __call__(self, batch: Batch) -> Logits:
        if self.threads is not None and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        device = next(self.model.parameters()).device
        inputs = {
            key: torch.from_numpy(batch[key]).to(device) for key in INPUTS if key in batch
        }  # (B, L) each
        with torch.inference_mode():
            logits = logits_of(self.model, inputs)
        out: Logits = logits.float().cpu().numpy()
        return out


class FilePredictor:
    """An exported model file in its engine, through the session that serving uses.

    ``threads`` of ``None`` are all physical cores.
    """

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        *,
        name: str = "onnx",
        format: str = "onnx",
    ) -> None:
        self.session = open_session(format, path, threads or physical_cores())
        self.name = name
        self.format = format

    def __call__(self, batch: Batch) -> Logits:
        ids = batch["input_ids"]
        types = batch["token_type_ids"] if "token_type_ids" in batch else np.zeros_like(ids)
        out: Logits = self.session.run(ids, batch["attention_mask"], types)
        return out


@contextmanager
def torch_threads(threads: int | None = None) -> Iterator[None]:
    """Let torch use ``threads`` inside the block and as many as before after it."""
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@dataclass
class FloorPredictor:
    """What answers to the rows that a batch's ``index`` names, from their texts.

    Its time thus holds what reading the texts takes, which that of a model on token ids does not.
    """

    answer: Answer
    format: str
    name: str = LINEAR

    def __call__(self, batch: Batch) -> Logits:
        return self.answer(batch["index"], batch["input_ids"].shape[1])


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
