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
import torch
from transformers import PreTrainedModel

from distill.export.onnx import (
    TOLERANCE,
    Arrays,
    example_batch,
    exportable,
)
from distill.export.quiet import quiet
from distill.system.atomic import write_bytes
from distill.system.errors import ModelError
from students.anatomy import input_names
from students.heads import logits_of, positions_of


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
    longest, names = positions_of(plain), input_names(plain)
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
    length = min(17, longest)
    batches = [
        example_batch(plain, batch=3, length=length, padded=True),
        example_batch(plain, batch=1, length=2),
        *samples,
    ]
    for arrays in batches:
        tensors = [torch.from_numpy(array) for array in arrays[: len(names)]]
        with torch.inference_mode():
            found = loaded(*tensors)
            expected = logits_of(plain, dict(zip(names, tensors, strict=True)))
        error = float(np.abs((found - expected).numpy()).max())
        if not error <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise ModelError(f"{path}: logits differ from torch by {error:.1e}; not written")
    write_bytes(path, content)
