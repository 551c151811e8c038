"""``torch.export``: the model as one ``.pt2`` program, for those who deploy with torch.

It replaces TorchScript, which torch deprecates. Loading it needs torch and nothing else of ours:

    >>> program = torch.export.load("model.pt2").module()  # doctest: +SKIP
    >>> logits = program(input_ids, attention_mask, token_type_ids)  # doctest: +SKIP

The types of tokens are left out of the call where the model tells none apart, as with RoBERTa.

Legend: B batch, L length, C classes.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from distill.export.onnx import Arrays, check_logits, example_batch, exportable
from distill.export.quiet import quiet
from distill.system.atomic import write_bytes
from students.anatomy import input_names
from students.heads import positions_of


def export_program(model: PreTrainedModel, path: Path, *, samples: Sequence[Arrays] = ()) -> None:
    """Write ``model`` as a ``.pt2`` file with dynamic batch and length.

    Args:
        model: a model of a known family with a head, stock or pruned; left as it is.
        path: the file; written whole or not at all.
        samples: real batches that are checked beside the random ones.

    Raises:
        ModelError: the program's logits differ from the model's by more than ``TOLERANCE``.
    """
    plain = copy.deepcopy(model).to(device="cpu", dtype=torch.float32).eval()  # type: ignore[call-arg]
    names = input_names(plain)
    longest = positions_of(plain)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=longest)}
    arrays = example_batch(plain, batch=2, length=11)[: len(names)]
    example = tuple(torch.from_numpy(array) for array in arrays)
    with exportable(plain) as wrapper, quiet("torch.export"):
        program = torch.export.export(
            wrapper, example, dynamic_shapes={"tensors": (axes,) * len(names)}
        )
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    content = buffer.getvalue()
    loaded = torch.export.load(io.BytesIO(content)).module()

    @torch.inference_mode()
    def run(*arrays: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        tensors = [torch.from_numpy(array) for array in arrays[: len(names)]]
        logits: npt.NDArray[np.float32] = loaded(*tensors).numpy()
        return logits

    check_logits(plain, run, samples, what=f"{path}: logits of the program")
    write_bytes(path, content)
