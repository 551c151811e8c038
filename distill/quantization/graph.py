"""Surgery on exported ONNX graphs: which products there are, and int8 put into them.

Legend: B batch, L length, K inputs and N outputs of a product, V rows and D width of a table.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from distill.system.atomic import write_bytes
from distill.system.errors import ModelError

#: Largest value of a weight by its bits. x86 without VNNI adds pairs of 8-bit products in 16 bits:
#: 2 * 255 * 63 fits, 2 * 255 * 127 does not.
LIMITS = {7: 63, 8: 127}
_TINY = float(np.finfo(np.float32).eps)
_FEWEST_ROWS = 32  # smaller tables (the two segments) save nothing

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Product:
    """A matrix product with a constant weight: one Linear layer of the model."""

    name: str  # the layer's name in the model, such as ``bert.encoder.layer.0.output.dense``
    activation: str  # the name of the tensor that comes in
    weight: str  # the name of the initialiser (K, N)


@dataclass(frozen=True, eq=False)
class Scales:
    """How one product is quantised: ``q = round(x / scale) + zero_point``, clipped to 8 bits."""

    #: of the activation; ``None`` leaves it in fp32, so that only the weight is int8
    scale: float | None
    zero_point: int  # of the activation, 0 to 255
    #: (N,) or (1,): of the weight's columns; ``None`` takes the largest value of each
    weight: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Int8:
    """How products become int8."""

    #: of the activations by product name, from calibration or training; ``None`` computes one for
    #: each token, which needs no data and is slower
    scales: Mapping[str, Scales] | None = None
    #: one scale for each output channel of a weight, else one for each weight. Embedding tables
    #: have one scale for each of their columns.
    per_channel: bool = True
    #: 7, which every processor multiplies exactly, or 8: x86 without VNNI adds pairs of products
    #: in 16 bits and overflows
    weight_bits: int = 7
    exclude: Collection[str] = ()  # names of products that stay in fp32


#: One scale for each token and each channel of a weight: what needs no data.
EVERY_TOKEN = Int8()


def load_graph(path: Path) -> Any:
    """Read an ``.onnx`` file; a ModelError where it is missing or is no ONNX model."""
    try:
        return onnx.load(str(path))
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except Exception as error:  # protobuf's errors differ between its implementations
        raise ModelError(f"{path}: not an ONNX model") from error


def save_graph(model: Any, target: Path) -> None:
    """Write a graph whole or not at all; the same graph gives the same bytes."""
    # Shapes of inner values may contradict the changed graph; runtimes infer them anew.
    del model.graph.value_info[:]
    write_bytes(target, model.SerializeToString(deterministic=True))


def products(model: Any) -> list[Product]:
    """The products with constant weights, in the order in which they run."""
    constant = {tensor.name for tensor in model.graph.initializer}
    return [
        Product(node.name, node.input[0], node.input[1])
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in constant
    ]


def plain_products(model: Any) -> None:
    """Turn every ``Gemm`` into a product and a sum, the form in which the others are."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        if node.op_type != "Gemm" or node.input[1] not in weights:
            nodes.append(node)
            continue
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        if attributes.get("transA") or {attributes.get(k, 1.0) for k in ("alpha", "beta")} != {1.0}:
            nodes.append(node)
            continue
        weight = node.input[1]
        if attributes.get("transB"):
            turned = np.ascontiguousarray(numpy_helper.to_array(weights[weight]).T)
            weight = f"{node.name}.weight_transposed"
            model.graph.initializer.append(numpy_helper.from_array(turned, weight))
        biased = len(node.input) > 2
        out = f"{node.output[0]}_product" if biased else node.output[0]
        nodes.append(new_node("MatMul", [node.input[0], weight], out, node.name))
        if biased:
            add = [out, node.input[2]]
            nodes.append(new_node("Add", add, node.output[0], f"{node.name}.bias"))
    replace_nodes(model, nodes)


def quantize_tables(model: Any) -> None:
    """Keep embedding tables in int8, one scale for each of the D columns.

    The rows that are looked up, (B, L, D), are dequantised; the table itself never is.
    """
    tables = {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if len(tensor.dims) == 2 and tensor.dims[0] >= _FEWEST_ROWS
    }
    done: set[str] = set()
    nodes: list[Any] = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type != "Gather" or node.input[0] not in tables:
            continue
        table, out = node.input[0], node.output[0]
        if table not in done:
            done.add(table)
            _add_int8(model, table, numpy_helper.to_array(tables[table]), limit=LIMITS[8])
        node.input[0] = f"{table}_int8"
        node.output[0] = f"{out}_int8"
        inputs = [node.output[0], f"{table}_scale", f"{table}_zero"]
        name = f"{node.name}.dequantize"
        nodes.append(new_node("DequantizeLinear", inputs, out, name, axis=2))
    replace_nodes(model, nodes)
    drop_unused(model)


def drop_unused(model: Any) -> None:
    """Remove initialisers that nothing reads any more."""
    used = {name for node in model.graph.node for name in node.input}
    used |= {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def add_int8_weight(model: Any, product: str, values: Array, int8: Int8) -> str:
    """Add a product's weight (K, N) in int8; the prefix of ``_int8``, ``_scale`` and ``_zero``."""
    prefix, limit = f"{product}.weight", LIMITS[int8.weight_bits]
    scale = None if int8.scales is None else int8.scales[product].weight
    if scale is None and not int8.per_channel:
        scale = np.maximum(np.abs(values).max(keepdims=True).reshape(1) / limit, _TINY)
    _add_int8(model, prefix, values, limit=limit, scale=scale)
    return prefix


def _add_int8(
    model: Any, prefix: str, values: Array, *, limit: int, scale: Array | None = None
) -> None:
    """Add an int8 copy of a matrix with its scale (one for each column, or one) and zero point."""
    if scale is None:
        scale = np.maximum(np.abs(values).max(axis=0) / limit, _TINY)  # (N,)
    scale = np.asarray(scale, dtype=np.float32).reshape(-1)
    coded = np.clip(np.rint(values / scale), -limit, limit).astype(np.int8)
    told = scale if len(scale) > 1 else np.float32(scale[0])
    add_constant(model, f"{prefix}_int8", coded)
    add_constant(model, f"{prefix}_scale", told)
    add_constant(model, f"{prefix}_zero", np.zeros(np.shape(told), dtype=np.int8))


def new_node(kind: str, inputs: list[str], out: str, name: str, **more: Any) -> Any:
    """A node with one output."""
    return helper.make_node(kind, inputs, [out], name=name, **more)


def add_constant(model: Any, name: str, value: Any) -> None:
    """Add an initialiser."""
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def replace_nodes(model: Any, nodes: list[Any]) -> None:
    """Put other nodes in the place of a graph's."""
    copies = copy.deepcopy(nodes)  # clearing the graph's list would empty the nodes that it owns
    del model.graph.node[:]
    model.graph.node.extend(copies)
