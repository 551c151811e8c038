"""Int8 copies of exported ONNX graphs: what of them is int8, and for which engine they are written.

Activations have calibrated scales, or one for each token, so that a text's answer does not depend
on the texts beside it nor on padding; ONNX Runtime's own dynamic scales, taken over the whole
batch, are an option (:func:`quantize_per_batch`). docs/quantisation.md has them side by side.

Measured on all-MiniLM-L6 with 20 random outputs, 256 lines of text: the logits move by 18 % of
their spread with one scale for each channel and by 35 % with one for each weight, which is about
5 % faster. Embedding tables in int8 add nothing to that and take 36 MB of 59 MB away.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from distill.quantization.graph import (
    EVERY_TOKEN,
    Int8,
    Scales,
    load_graph,
    plain_products,
    products,
    quantize_tables,
    save_graph,
)
from distill.quantization.integer import fix_order, integer_products, quantize_products
from distill.system.atomic import new_file
from distill.system.errors import ModelError
from distill.system.messages import quiet

# Gather is the embedding tables: in a small BERT two thirds of the parameters, which MatMul alone
# would leave in fp32 (43.6 MB instead of 14.5 MB for 4 layers of 312).
_OPERATORS = ("MatMul", "Gemm", "Gather")
_BLOCK = 32  # weights of 4 bits that share a scale


def quantize_onnx(source: Path, target: Path, int8: Int8 = EVERY_TOKEN) -> None:
    """Write an int8 copy of an exported ``.onnx`` file for ONNX Runtime, whole or not at all.

    One text alone, in any batch and padded to any length has the same logits to the last bit.

    Raises:
        ModelError: the file is missing, is not an ONNX model, or holds nothing to quantise; or a
            product has no scale.
    """
    model = load_graph(source)
    fix_order(model)
    plain_products(model)
    integer_products(model, _chosen(source, model, int8), int8)
    quantize_tables(model)
    save_graph(model, target)


def quantize_qdq(source: Path, target: Path, int8: Int8) -> None:
    """Write an int8 copy with fixed scales in Quantize/Dequantize pairs, a form that is portable.

    Attention's own products, norms and sums stay in fp32. Outputs of products are not quantised
    again: nothing would read them in int8, and every pair of nodes costs time. OpenVINO has kernels
    for these graphs. ONNX Runtime leaves one product of each layer in them unfused, with its weight
    dequantised at every call, and adds every bias in a pass of its own: :func:`quantize_onnx`
    writes its integer products instead, and raises the same errors.
    """
    model = plain_graph(source)
    names, scales = _chosen(source, model, int8), int8.scales or {}
    quantize_products(model, replace(int8, scales={name: scales[name] for name in names}))
    quantize_tables(model)
    save_graph(model, target)


def quantize_per_batch(source: Path, target: Path, int8: Int8 = EVERY_TOKEN) -> None:
    """Write an int8 copy with ONNX Runtime's dynamic scales, taken over all tokens of a batch.

    **A text's answer then depends on the texts beside it and on padding.** Embedding tables have
    one scale each.

    Raises:
        ModelError: the file is missing, is not an ONNX model, or holds nothing to quantise.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = plain_graph(source)  # ONNX Runtime would rename what is to be excluded
    # The exporter's shapes of inner values contradict those of the quantised graph, and shape
    # inference then fails. Without them, types that cannot be inferred need a default.
    del model.graph.value_info[:]
    options = {"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT}
    with new_file(target) as temporary, quiet(""):
        quantize_dynamic(
            model,
            temporary,
            op_types_to_quantize=list(_OPERATORS),
            per_channel=int8.per_channel,
            reduce_range=int8.weight_bits == 7,
            nodes_to_exclude=sorted(int8.exclude),
            weight_type=QuantType.QInt8,
            extra_options=options,
        )
        kinds = {node.op_type for node in onnx.load(str(temporary)).graph.node}
        if "MatMulInteger" not in kinds and not int8.exclude:
            raise ModelError(f"{source}: no product with constant weights to quantise")


def quantize_weights(
    source: Path, target: Path, *, bits: Literal[4, 8], exclude: Collection[str] = ()
) -> None:
    """Write a copy with small weights that computes in fp32.

    8 bits: weights and embedding tables are stored in int8. Weights are turned back once, at
    loading; the tables stay int8 in memory. 4 bits: weights in blocks of 32 with a scale each, by
    ONNX Runtime's ``MatMulNBits``, which is neither faster nor portable; tables in int8.

    Raises:
        ModelError: the file is missing or is not an ONNX model.
    """
    model = plain_graph(source)
    if bits == 8:
        names = [p.name for p in products(model) if p.name not in exclude]
        quantize_products(model, Int8(scales=dict.fromkeys(names, Scales(None, 0)), weight_bits=8))
    else:
        model = _four_bits(model, exclude)
    quantize_tables(model)
    save_graph(model, target)


def quantize_embeddings(source: Path, target: Path) -> None:
    """Write a copy whose embedding tables alone are int8."""
    model = load_graph(source)
    quantize_tables(model)
    save_graph(model, target)


def timing_scales(source: Path) -> dict[str, Scales]:
    """Scales of a graph's activations that take the time of calibrated ones, and are not."""
    return {product.name: Scales(0.05, 128) for product in products(plain_graph(source))}


def plain_graph(source: Path) -> Any:
    """Read a graph, all of whose constant products are made ``MatMul``; errors of `load_graph`."""
    model = load_graph(source)
    plain_products(model)
    return model


def _chosen(source: Path, model: Any, int8: Int8) -> list[str]:
    known = [product.name for product in products(model)]
    if not known:
        raise ModelError(f"{source}: no product with constant weights to quantise")
    names = [name for name in known if name not in int8.exclude]
    missing = [] if int8.scales is None else [name for name in names if name not in int8.scales]
    if missing:
        raise ModelError(f"{source}: no scales for {', '.join(missing[:3])}")
    return names


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
