"""What a model costs to keep and to run: parameters, multiply-accumulates, bytes.

Legend: L length, D hidden size, H heads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from distill.system.errors import ModelError
from students.anatomy import anatomy
from students.family import MODEL_TYPES
from students.heads import is_token_level

_WEIGHTS = (".safetensors", ".onnx", ".onnx.data", ".xml", ".bin", ".pt2")


def parameters(model: nn.Module) -> int:
    """How many numbers the model keeps; a tensor used in two places counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def parameters_no_embeddings(model: nn.Module) -> int:
    """How many numbers are left without the embedding tables (word, position and type)."""
    tables = {
        id(module.weight): module.weight.numel()
        for module in model.modules()
        if isinstance(module, nn.Embedding)
    }
    return parameters(model) - sum(tables.values())


def macs(model: nn.Module, length: int) -> int:
    r"""Multiply-accumulates of one forward pass of one example; twice this is its FLOPs.

    .. math:: L \sum_{\text{encoder}} in \cdot out + \sum_{\text{layers}} 2 L^2 H d_h
              + \sum_{\text{head}} in \cdot out

    Counted from the shapes of the Linear layers, so that a pruned model counts what is left of it,
    and for each layer the two products of attention. Biases, LayerNorm, softmax and the embedding
    look-up are left out, as is usual. A pooler and what stands on it see one position, a head that
    looks at every token all of them.

    Args:
        model: a model of a known family, with or without a head, stock or pruned, or a teacher of
            any; it may live on the meta device.
        length: tokens, special tokens included.

    Raises:
        ModelError: it is no model of transformers.

    Reference:
        Jiao et al. 2020 (TinyBERT), table 1: 22.5 G FLOPs for BERT-base at 128 tokens are 11.17 G
        multiply-accumulates.
    """
    repeated, width = _encoder(model)
    inside = {id(module) for part in repeated for module in part.modules()}
    every = isinstance(model, PreTrainedModel) and is_token_level(model)
    total = 2 * length * length * width
    for module in model.modules():
        if isinstance(module, nn.Linear):
            positions = length if every or id(module) in inside else 1
            total += positions * module.in_features * module.out_features
    return total


def _encoder(model: nn.Module) -> tuple[list[nn.Module], int]:
    """What sees every token, and the width of what the heads of all layers give together.

    Of a model of no known family all of its encoder sees them.
    """
    config: Any = getattr(model, "config", None)
    if isinstance(model, PreTrainedModel) and config.model_type not in MODEL_TYPES:
        width, depth = (getattr(config, key, 0) for key in ("hidden_size", "num_hidden_layers"))
        return [model.base_model], int(width) * int(depth)
    parts = anatomy(model)
    head_dim = int(getattr(config, "head_dim", 0) or parts.hidden // parts.heads)
    return [*parts.layers, *parts.below], sum(parts.heads_left) * head_dim


def bytes_of(path: Path) -> int:
    """Bytes of the weights in a file or a folder that holds safetensors; a ModelError without any.

    A file counts with its second one: ``.onnx`` with its ``.data``, ``.xml`` with its ``.bin``.
    """
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
    else:
        second = path.with_suffix(".bin") if path.suffix == ".xml" else None
        files = [path, second or path.with_name(f"{path.name}.data")]
    found = [file for file in files if file.is_file() and file.name.endswith(_WEIGHTS)]
    if not found:
        raise ModelError(f"{path}: no weights there (.safetensors or .onnx)")
    return sum(file.stat().st_size for file in found)
