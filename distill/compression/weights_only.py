"""Weights in 8 or 4 bits, computing in fp32: for size, where int8 products lose too much.

8 bits: weights and embedding tables are stored in int8. Weights are turned back once, at loading;
the tables stay int8 in memory. 4 bits: weights in blocks of 32 with a scale each, by ONNX
Runtime's ``MatMulNBits``, which is neither faster nor portable to other runtimes; tables in int8.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from distill.compression.graph import (
    Scales,
    load_graph,
    plain_products,
    products,
    quantize_products,
    quantize_tables,
    save_graph,
)
from distill.errors import ModelError
from distill.export.quiet import quiet

_BLOCK = 32


def quantize_weights(
    source: Path, target: Path, *, bits: int = 8, exclude: Collection[str] = ()
) -> None:
    """Write a copy with small weights that computes in fp32.

    Args:
        source: the fp32 file.
        target: where; written whole or not at all.
        bits: 8 or 4.
        exclude: names of products that stay in fp32.

    Raises:
        ModelError: the file is missing or is not an ONNX model, or ``bits`` is neither 8 nor 4.
    """
    if bits not in (4, 8):
        raise ModelError(f"weights of {bits} bits: 8 and 4 are there to choose from")
    model = load_graph(source)
    plain_products(model)
    if bits == 8:
        names = [p.name for p in products(model) if p.name not in exclude]
        quantize_products(
            model, dict.fromkeys(names, Scales(None, 0)), per_channel=True, weight_bits=8
        )
    else:
        model = _four_bits(model, exclude)
    quantize_tables(model)
    save_graph(model, target)


def quantize_embeddings(source: Path, target: Path) -> None:
    """Write a copy whose embedding tables alone are int8.

    Raises:
        ModelError: the file is missing or is not an ONNX model.
    """
    model = load_graph(source)
    quantize_tables(model)
    save_graph(model, target)


def _four_bits(model: Any, exclude: Collection[str]) -> Any:
    with quiet(""):  # importing it sets up the root logger
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    del model.graph.value_info[:]
    # Level 4 lets products run in int8 with fp32 sums where the processor can.
    with quiet("", "onnxruntime.quantization.matmul_nbits_quantizer"):
        quantizer = MatMulNBitsQuantizer(
            model,
            bits=4,
            block_size=_BLOCK,
            is_symmetric=True,
            accuracy_level=4,
            nodes_to_exclude=sorted(exclude),
        )
        quantizer.process()
    return quantizer.model.model
