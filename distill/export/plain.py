"""A model in fp32 in the format that all its other files are made from.

Legend: V tokens, D width, S special tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from safetensors.numpy import save
from torch import nn
from transformers import PreTrainedModel

from distill.export.bundle import MODEL_FILES
from distill.export.onnx import Arrays, check_logits, export_onnx
from distill.runtime.table import TableSession
from distill.system.atomic import write_bytes
from students.static import STATIC


def export_plain(
    model: PreTrainedModel, folder: Path, *, samples: Sequence[Arrays] = ()
) -> tuple[str, Path]:
    """Write a model for numpy if it is a static student, else as ONNX; the format and the file."""
    format = "numpy" if model.config.model_type == STATIC else "onnx"
    path = folder / MODEL_FILES[format]
    path.unlink(missing_ok=True)
    if format == "numpy":
        export_table(model, path, samples=samples)
    else:
        export_onnx(model, path, samples=samples)
    return format, path


def export_table(model: PreTrainedModel, path: Path, *, samples: Sequence[Arrays] = ()) -> None:
    """Write a static student: ``table`` (V, D), ``special`` (S,), and the layers of its head.

    Of each layer there are ``weight.N`` and ``bias.N``, with a ReLU between two of them.
    """
    tensors = {
        "table": cast(nn.Embedding, model.get_input_embeddings()).weight.detach().numpy(),
        "special": np.array(model.config.special_ids, dtype=np.int64),
    }
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for number, layer in enumerate(linear):
        tensors[f"weight.{number}"] = layer.weight.detach().numpy()
        tensors[f"bias.{number}"] = layer.bias.detach().numpy()
    content = save({name: np.ascontiguousarray(value) for name, value in tensors.items()})
    check_logits(model, TableSession(content).run, samples, what=f"{path}: logits of the table")
    write_bytes(path, content)
