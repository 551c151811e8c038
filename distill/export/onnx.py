"""ONNX, or a program of torch: one file of any batch and length, checked before it is written.

Legend: B batch, L length, D hidden, H heads, C classes.

How the graph is made was chosen by measuring a 3-layer, 384-wide classifier (2-core AMD EPYC
Zen 5, ONNX Runtime 1.31, 1 thread, models taking turns, medians; int8 unless said):

- Exporter: ``dynamo=True`` (``torch.export``). The TorchScript one is faster to export (0.6 s, not
  3.5 s) and its graph is as fast (0.88 and 0.93 ms at batch 1, length 32; fp32 2.92 and 2.89 ms),
  but it is deprecated and freezes Python branches on tensor values into the graph.
- Attention: written out (``eager``). SDPA's translation adds checks for rows without any key,
  which cannot happen here, and takes 3-4 % longer.
- The mask is handed over as an additive (B, 1, 1, L) bias, so that ``transformers``' mask building
  (18 nodes of shape arithmetic) stays out of the graph: 0.90 to 0.84 ms.
- A sequence classifier reads the first token only (and so does a sentence encoder whose vectors
  are that token's), so the last layer computes queries, output and feed-forward for that token
  alone. The logits are the same: 0.84 to 0.67 ms at batch 1 (fp32 2.83 to 2.28), 23.4 to 17.3 ms at
  batch 32.
- Query, key and value packed into one product were slower (0.67 to 0.75 ms): the split costs more
  than the smaller number of products saves.
"""

from __future__ import annotations

import ast
import copy
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel

from distill.runtime.session import OnnxSession
from distill.system.atomic import write_bytes
from distill.system.errors import ModelError
from distill.system.messages import quiet
from students.anatomy import INPUTS, Anatomy, anatomy, input_names
from students.family import FAMILIES, family_of
from students.heads import PARAMETERS, classify, head_of, logits_of, positions_of
from students.pooling import POOLING, sentence_vectors

#: Largest difference of a logit from torch, relative to the largest logit where that is above 1.
TOLERANCE = 1e-4

#: The ONNX operator set of exported graphs: the first with Gelu.
OPSET = 20

Arrays = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]


class _Logits(nn.Module):
    """Any model with a head, called as it is with what it reads, each (B, L)."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return logits_of(self.model, self._inputs(tensors))

    def _inputs(self, tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        return dict(zip(input_names(self.model), tensors, strict=True))


class _FirstTokenLogits(_Logits):
    """A model whose head reads the first token, so that the last layer computes that one only."""

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        parts = anatomy(self.model)
        hidden, bias = _run(parts, parts.layers[:-1], self._inputs(tensors))
        last, first = parts.parts[-1], hidden[:, :1]  # (B, 1, D)
        attended = last.attended(last.context(first, hidden, bias), first)
        out = last.output(last.neurons(attended), attended)  # (B, 1, D)
        if head_of(self.model) == "vectors":
            return sentence_vectors(self.model, out, out[..., 0])  # (B, C)
        return classify(self.model, out)  # (B, C)


class _EveryTokenLogits(_Logits):
    """A model whose head reads every token: taggers, markers of spans, means of tokens."""

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        inputs, parts = self._inputs(tensors), anatomy(self.model)
        hidden, _ = _run(parts, parts.layers, inputs)  # (B, L, D)
        head = head_of(self.model)
        if head == "vectors":
            return sentence_vectors(self.model, hidden, inputs["attention_mask"])  # (B, C)
        logits: torch.Tensor = getattr(self.model, PARAMETERS[head])(hidden)  # (B, L, C)
        return logits


def reads_first_token(model: PreTrainedModel) -> bool:
    """Whether a model's head reads the first token alone.

    In the exported graph its last layer computes that token only, and costs next to nothing.
    """
    head = head_of(model)
    return head == "classification" or (
        head == "vectors" and getattr(model.config, POOLING) == "cls"
    )


def _wrapper_of(model: PreTrainedModel) -> type[_Logits]:
    own = family_of(model.config.model_type).name in FAMILIES
    if getattr(model.config, "is_decoder", False) or not own:
        return _Logits
    if reads_first_token(model):
        return _FirstTokenLogits
    every = ("tokens", "spans", "vectors")
    return _EveryTokenLogits if head_of(model) in every else _Logits


def _run(
    parts: Anatomy, layers: Iterable[Any], inputs: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (B, L, D) after some layers, and the mask as an additive (B, 1, 1, L) bias."""
    padding = 1.0 - inputs["attention_mask"][:, None, None, :].to(torch.float32)
    bias = padding * torch.finfo(torch.float32).min
    hidden = parts.embed(inputs)
    for layer in layers:
        hidden = layer(hidden, bias)
    return hidden, bias


def export_onnx(model: PreTrainedModel, path: Path, *, samples: Sequence[Arrays] = ()) -> None:
    """Write ``model`` as one ``.onnx`` file without external data, whole or not at all.

    Inputs are ``input_ids``, ``attention_mask`` and, where the model tells types of tokens apart,
    ``token_type_ids``, int64 (B, L) with both axes dynamic; the output is ``logits``, float32, of
    the shape that :func:`students.heads.logits_of` gives. The model itself is left as it is;
    ``samples`` are real batches that are checked beside the random ones.

    Raises:
        ModelError: the graph's logits differ from torch's by more than ``TOLERANCE`` on whole or
            padded batches. Nothing is written then.

    Example:
        >>> export_onnx(model, Path("model.onnx"))  # doctest: +SKIP
    """
    plain = _on_cpu(model)
    content = _graph(plain)
    session = OnnxSession(content, threads=1)
    check_logits(plain, session.run, samples, what=f"{path}: logits of the ONNX graph")
    write_bytes(path, content)


def export_program(model: PreTrainedModel, path: Path, *, samples: Sequence[Arrays] = ()) -> None:
    """Write ``model`` as one ``.pt2`` program of ``torch.export``, for those who deploy with torch.

    It replaces TorchScript, which torch deprecates. Otherwise as :func:`export_onnx`. Loading it
    needs torch and nothing else of ours; types of tokens are left out where the model has none:

        >>> program = torch.export.load("model.pt2").module()  # doctest: +SKIP
        >>> logits = program(input_ids, attention_mask, token_type_ids)  # doctest: +SKIP
    """
    plain = _on_cpu(model)
    example, shapes = _traced_inputs(plain)
    with _exportable(plain) as wrapper, quiet("torch.export"):
        program = torch.export.export(wrapper, example, dynamic_shapes=shapes)
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    content = buffer.getvalue()
    loaded = torch.export.load(io.BytesIO(content)).module()

    @torch.inference_mode()
    def run(*arrays: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        tensors = [torch.from_numpy(array) for array in arrays[: len(example)]]
        logits: npt.NDArray[np.float32] = loaded(*tensors).numpy()
        return logits

    check_logits(plain, run, samples, what=f"{path}: logits of the program")
    write_bytes(path, content)


@contextmanager
def _exportable(model: PreTrainedModel) -> Iterator[nn.Module]:
    """The module that is exported, called with :func:`input_names`, giving logits.

    Inside the block the model's attention is written out.
    """
    chosen = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield _wrapper_of(model)(model).eval()
    finally:
        model.set_attn_implementation(chosen)


def _traced_inputs(model: PreTrainedModel) -> tuple[tuple[torch.Tensor, ...], dict[str, Any]]:
    """Inputs to trace a model with, and their dynamic axes."""
    names = input_names(model)
    # Batch and length above 1: torch.export would take a 1 for a constant.
    arrays = example_batch(model, batch=2, length=11)[: len(names)]
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=positions_of(model))}
    return tuple(map(torch.from_numpy, arrays)), {"tensors": (axes,) * len(names)}


def _on_cpu(model: PreTrainedModel) -> PreTrainedModel:
    """A copy in fp32 that answers as the model does in eval mode."""
    plain: PreTrainedModel = copy.deepcopy(model).eval()
    plain.to(device="cpu", dtype=torch.float32)  # type: ignore[call-arg]
    return plain


def _graph(model: PreTrainedModel) -> bytes:
    example, shapes = _traced_inputs(model)
    loud = ("torch.onnx", "torch.onnx._internal.exporter._registration", "onnxscript")
    with _exportable(model) as wrapper, quiet(*loud):
        program = torch.onnx.export(
            wrapper,
            example,
            input_names=list(input_names(model)),
            output_names=["logits"],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ModelError(f"torch could not export a {type(model).__name__} to ONNX")
    proto = program.model_proto
    _name_nodes(proto.graph)
    # The exporter notes the source lines of every node, with paths of this machine.
    for entry in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info):
        del entry.metadata_props[:]
        entry.doc_string = ""
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _name_nodes(graph: Any) -> None:
    """Name every product and table after its module (``bert.encoder.layer.0.output.dense``).

    Quantisation and its reports speak of layers by these names; the exporter only counts nodes.
    """
    taken: set[str] = set()
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm", "Gather"):
            continue
        notes = {entry.key: entry.value for entry in node.metadata_props}
        # The last scope is the operation, the one before it the module.
        scopes = ast.literal_eval(notes.get("pkg.torch.onnx.name_scopes", "[]"))
        constant = node.input[0 if node.op_type == "Gather" else 1]
        if len(scopes) < 2 or constant not in constants:
            continue
        name = str(scopes[-2]).removeprefix("model.")
        if name and name not in taken:
            taken.add(name)
            node.name = name


def check_logits(
    model: PreTrainedModel,
    run: Callable[..., npt.NDArray[np.float32]],
    samples: Sequence[Arrays],
    *,
    what: str,
) -> None:
    """Refuse, by a ModelError, logits that differ from torch's, on whole and padded batches."""
    length = min(17, positions_of(model))
    shapes = ((1, length, False), (3, length, True), (1, 2, False))
    batches = [
        example_batch(model, batch=b, length=long, padded=padded) for b, long, padded in shapes
    ]
    for arrays in (*batches, *samples):
        inputs = {name: torch.from_numpy(a) for name, a in zip(INPUTS, arrays, strict=True)}
        with torch.inference_mode():
            expected = logits_of(model, inputs).numpy()
        found = run(*arrays)
        allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
        error = float(np.abs(found - expected).max())
        if not error <= allowed:  # so that NaN is refused too
            raise ModelError(
                f"{what} differ from torch by {error:.1e} "
                f"(batch {len(arrays[0])}, length {arrays[0].shape[1]}"
                f"{'' if arrays[1].all() else ', padded'}); "
                f"up to {allowed:.0e} is allowed, so it was not written"
            )


def example_batch(
    model: PreTrainedModel, *, batch: int, length: int, padded: bool = False
) -> Arrays:
    """Random ids (B, L) of two segments; padded rows get shorter and shorter."""
    random = np.random.default_rng(batch * 1000 + length)
    config = model.config
    ids = random.integers(0, config.vocab_size, (batch, length), dtype=np.int64)
    mask = np.ones((batch, length), dtype=np.int64)
    types = np.zeros((batch, length), dtype=np.int64)
    if len(input_names(model)) == len(INPUTS):
        types[:, length // 2 :] = 1
    if padded:
        for row in range(1, batch):
            real = max(1, length // (row + 1))
            ids[row, real:], mask[row, real:], types[row, real:] = config.pad_token_id or 0, 0, 0
    return ids, mask, types
