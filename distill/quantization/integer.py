"""Products in int8: in integers for ONNX Runtime, in pairs of nodes for other engines.

In integers a text's answer does not depend on its batch.

An answer depends on the batch where a scale is taken over all its rows, or where a sum of floats is
taken in another order: the rounding to 8 bits turns a difference in the last bit into one of a
whole step. So activations have scales of their own (calibrated, or one for each token), sums of
products are integers, and the one sum of floats whose order depends on the length is fixed.

Legend: B batch, L length, K inputs and N outputs of a product, H heads, d width of a head.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from distill.quantization.graph import (
    Int8,
    Scales,
    add_constant,
    add_int8_weight,
    drop_unused,
    new_node,
    replace_nodes,
)

_DOMAIN = "com.microsoft"
_MIDDLE = 128  # the zero point of a symmetric grid in unsigned 8 bits
_REACH = 127.0


def integer_products(model: Any, names: Collection[str], int8: Int8) -> None:
    r"""Replace products by ``MatMulIntegerToFloat``, which multiplies 8 bits by 8 bits.

    With calibrated scales the product adds its bias too. With one scale for each token,

    .. math:: s_t = \max_k |x_{tk}| / 127, \quad y_{tn} = s_t \sum_k [x_{tk} / s_t] w_{kn}

    Products that read the same tensor share its 8-bit copy; those that are not in ``names`` stay in
    fp32. The model is changed in place; ``Gemm`` nodes must have been made plain.
    """
    graph = _Graph(model)
    for node in model.graph.node:
        if node.output[0] in graph.merged:
            continue
        if node.name in names and node.op_type == "MatMul" and node.input[1] in graph.values:
            _integer_product(graph, node, int8)
        else:
            graph.nodes.append(node)
    replace_nodes(model, graph.nodes)
    drop_unused(model)
    _import_domain(model)


def quantize_products(model: Any, int8: Int8) -> None:
    """Put Quantize/Dequantize pairs (QDQ) around products, which runtimes turn into int8 kernels.

    Products that have no scales stay in fp32; of those whose ``Scales.scale`` is ``None`` the
    weight alone is int8. Outputs are left alone: they go into sums and norms, which are fp32. The
    model is changed in place; ``Gemm`` nodes must have been made plain.
    """
    graph, scales = _Graph(model), int8.scales or {}
    for node in model.graph.node:
        chosen = scales.get(node.name)
        if chosen is not None and node.op_type == "MatMul" and node.input[1] in graph.values:
            if chosen.scale is not None:
                node.input[0] = graph.dequantized(graph.quantized(node, chosen))
            prefix = add_int8_weight(model, node.name, graph.values[node.input[1]], int8)
            node.input[1] = f"{prefix}_dequantized"
            inputs = [f"{prefix}_int8", f"{prefix}_scale", f"{prefix}_zero"]
            name = f"{prefix}.dequantize"
            graph.add("DequantizeLinear", inputs, node.input[1], name, axis=1)
        graph.nodes.append(node)
    replace_nodes(model, graph.nodes)
    drop_unused(model)


def _integer_product(graph: _Graph, node: Any, int8: Int8) -> None:
    """Append what stands in a product's place, and its bias's where the kernel adds it."""
    chosen = Scales(None, _MIDDLE) if int8.scales is None else int8.scales[node.name]
    copy, out, bias = graph.quantized(node, chosen), node.output[0], ""
    if copy.per_token is None and (sum_ := graph.bias_of(node)) is not None:
        graph.merged.add(sum_.output[0])
        bias, out = next(name for name in sum_.input if name != out), sum_.output[0]
    weight = add_int8_weight(graph.model, node.name, graph.values[node.input[1]], int8)
    product = out if copy.per_token is None else f"{out}_scaled"
    inputs = [copy.name, f"{weight}_int8", copy.scale, f"{weight}_scale", copy.zero, "", bias]
    while not inputs[-1]:
        inputs.pop()
    graph.add("MatMulIntegerToFloat", inputs, product, node.name, domain=_DOMAIN)
    if copy.per_token is not None:
        graph.add("Mul", [product, copy.per_token], out, f"{node.name}.rescale")


def fix_order(model: Any) -> None:
    """Let products of attention sum in the order of the tokens, however far they are padded.

    For a single row (the last layer of a classifier computes the first token alone, (B, H, 1, L) by
    (B, H, L, d)) ONNX Runtime takes a kernel that sums in fours, so that a text of 5 tokens and the
    same text padded to 8 differ in the last bit. A factor other than 1 keeps it from that kernel;
    one half and its reverse change no bit.

    The model is changed in place; its shapes (``value_info``) must still be those of the export.
    """
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in model.graph.value_info
    }
    constant = {tensor.name for tensor in model.graph.initializer}
    nodes: list[Any] = []
    for node in model.graph.node:
        shape = shapes.get(node.output[0], [])
        rows = shape[-2] if len(shape) > 2 else 1  # unknown where the exporter left no shape
        if node.op_type != "MatMul" or constant.intersection(node.input) or rows != 1:
            nodes.append(node)
            continue
        half = f"{node.output[0]}_half"
        more: dict[str, Any] = {"domain": _DOMAIN, "alpha": 0.5}
        nodes.append(new_node("FusedMatMul", list(node.input), half, node.name, **more))
        # A product by 2 would be merged with the half, and give the kernel back.
        nodes.append(helper.make_node("Add", [half, half], list(node.output)))
    replace_nodes(model, nodes)
    _import_domain(model)


@dataclass(frozen=True)
class _Copy:
    """The 8-bit copy of an activation: names of its values."""

    name: str  # of the copy, (..., K)
    scale: str  # of its scale; 1 where each token has its own
    zero: str  # of its zero point
    per_token: str | None  # of the tokens' scales, (..., 1)


class _Graph:
    """A graph that is written anew: its constants, the readers of its values, its new nodes."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.nodes: list[Any] = []
        self.merged: set[str] = set()
        self._copies: dict[tuple[Any, ...], _Copy] = {}
        self._dequantized: set[str] = set()
        self._readers: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._outputs = {value.name for value in model.graph.output}

    def add(self, kind: str, inputs: list[str], out: str, name: str, **more: Any) -> str:
        """Append a node; the name of its value."""
        self.nodes.append(new_node(kind, inputs, out, name, **more))
        return out

    def bias_of(self, node: Any) -> Any | None:
        """The sum with a bias (N,) that alone reads a product."""
        out = node.output[0]
        readers = self._readers.get(out, [])
        if len(readers) != 1 or readers[0].op_type != "Add" or out in self._outputs:
            return None
        other = next((name for name in readers[0].input if name != out), "")
        width = (self.values[node.input[1]].shape[1],)
        return readers[0] if other in self.values and self.values[other].shape == width else None

    def quantized(self, node: Any, chosen: Scales) -> _Copy:
        """The 8-bit copy of a product's activation (..., K), made where there is none yet."""
        tensor, prefix = node.input[0], f"{node.name}.input"
        key = (tensor, chosen.scale, chosen.zero_point)
        if key in self._copies:
            return self._copies[key]
        scale, zero = f"{prefix}_scale", f"{prefix}_zero"
        add_constant(self.model, scale, np.float32(1.0 if chosen.scale is None else chosen.scale))
        add_constant(self.model, zero, np.uint8(chosen.zero_point))
        own: str | None = None
        if chosen.scale is None:
            own, tensor = self._scaled(tensor, prefix)
        coded = self.add(
            "QuantizeLinear", [tensor, scale, zero], f"{prefix}_uint8", f"{prefix}.quantize"
        )
        self._copies[key] = _Copy(coded, scale, zero, own)
        return self._copies[key]

    def dequantized(self, copy: _Copy) -> str:
        """An 8-bit copy in fp32 again, made where there is none yet."""
        prefix = copy.name.removesuffix("_uint8")
        if copy.name not in self._dequantized:
            self._dequantized.add(copy.name)
            inputs, name = [copy.name, copy.scale, copy.zero], f"{prefix}.dequantize"
            self.add("DequantizeLinear", inputs, f"{prefix}_dequantized", name)
        return f"{prefix}_dequantized"

    def _scaled(self, tensor: str, prefix: str) -> tuple[str, str]:
        """Append the scale of each token, (..., 1), and the tensor divided by it, (..., K)."""
        axes, reach, least = f"{prefix}_axes", f"{prefix}_reach", f"{prefix}_least"
        add_constant(self.model, axes, np.array([-1], dtype=np.int64))
        add_constant(self.model, reach, np.float32(1.0 / _REACH))
        add_constant(self.model, least, np.float32(np.finfo(np.float32).tiny * 256))
        for kind, inputs, out in (
            ("Abs", [tensor], "size"),
            ("ReduceMax", [f"{prefix}_size", axes], "largest"),
            ("Mul", [f"{prefix}_largest", reach], "step"),
            ("Max", [f"{prefix}_step", least], "token_scale"),  # a token of zeros
            ("Div", [tensor, f"{prefix}_token_scale"], "scaled"),
        ):
            self.add(kind, inputs, f"{prefix}_{out}", f"{prefix}.{out}")
        return f"{prefix}_token_scale", f"{prefix}_scaled"


def _import_domain(model: Any) -> None:
    if _DOMAIN not in {entry.domain for entry in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
