"""What layers of given sizes take, measured: the table behind a latency budget.

Small models whose layers all have the same numbers of heads and neurons are exported to ONNX,
quantised to int8 as the student will be, and timed in turns. A layer's time is the difference
between a model with and without it. Between the measured sizes the table is read bilinearly.

The models have the student's head. Where that reads every token (taggers, spans, means of tokens)
the last layer works like the others; where it reads the first one, the exported last layer computes
that token alone.

Legend: h heads, f neurons, L length.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from distill.evaluation.predictors import FilePredictor
from distill.evaluation.speed import measure
from distill.export.onnx import export_onnx, reads_first_token
from distill.pruning.masks import head_dim
from distill.pruning.search import Counts
from distill.quantization.graph import Int8
from distill.quantization.onnx_int8 import quantize_onnx, timing_scales
from distill.system import atomic
from distill.system.console import Bar
from distill.system.errors import ModelError
from students.anatomy import anatomy
from students.heads import class_of, head_of
from students.pooling import DENSE, POOLING
from students.pruned import pruned_config

_VERSION = 3
_PARTS = (0.0, 0.5, 1.0)  # of the heads and of the neurons
_LAYERS = 4  # measured at once, so that a layer of 50 us is not lost in the noise
VOCABULARY = 128  # looking a row up costs the same in any table
_REPEATS = 60


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds of int8 models of one text, told from the sizes of their layers."""

    heads: list[int]  # numbers of heads that were measured, rising from 0
    ffn: list[int]  # numbers of neurons that were measured, rising from 0
    layer_ms: list[list[float]]  # time of one layer, by heads and neurons
    base_ms: float  # embeddings, pooler and head of the model, and a layer with nothing in it
    #: by how much the last layer's heads slow the model where it computes one token; ``None``
    #: where it computes every token, as the others do
    last_ms: float | None
    length: int  # L
    threads: int  # threads of one call
    #: what the sum is multiplied by: whole models may differ from their parts
    correction: float = 1.0

    def __call__(self, heads: Counts, ffn: Counts) -> float:
        """Milliseconds of a model with so many heads and neurons in each layer."""
        body = sum(self._layer(h, f) for h, f in zip(heads[:-1], ffn[:-1], strict=True))
        last = self._last(float(heads[-1]), float(ffn[-1]))
        return self.correction * (self.base_ms + body + last)

    def _last(self, heads: float, ffn: float) -> float:
        """By how much the last layer's heads and neurons slow the model."""
        empty = self._layer(0, 0)
        if self.last_ms is None:
            return self._layer(heads, ffn) - empty
        # Its neurons work on one token; so that they are not for nothing, they are told at that
        # token's part of a layer.
        neurons = (self._layer(0, ffn) - empty) / self.length
        return self.last_ms * heads / max(1, self.heads[-1]) + neurons

    def _layer(self, heads: float, ffn: float) -> float:
        grid = np.asarray(self.layer_ms)  # (heads, ffn)
        by_heads = [np.interp(ffn, self.ffn, row) for row in grid]
        return float(np.interp(heads, self.heads, by_heads))


def latency_table(model: PreTrainedModel, *, length: int, threads: int, file: Path) -> LatencyTable:
    """Measure the table for models of this one's width, or read it where it was measured before.

    ``length`` are the tokens of the one text in a call.

    Raises:
        ModelError: the model has no head.
    """
    if head_of(model) == "none":
        raise ModelError(f"a {type(model).__name__} has no head, so its latency is not that of one")
    wanted = _key(model, length, threads)
    if file.is_file():
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.pop("key") == wanted:
            return LatencyTable(**content)
    neurons = int(getattr(model.config, anatomy(model).family.ffn_size))
    sizes = {
        "heads": sorted({round(part * int(model.config.num_attention_heads)) for part in _PARTS}),
        "ffn": sorted({round(part * neurons) for part in _PARTS}),
    }
    models = {
        f"{heads} {ffn}": _uniform(model, _LAYERS, heads, ffn)
        for heads, ffn in itertools.product(sizes["heads"], sizes["ffn"])
    }
    models["base"] = _uniform(model, 1, 0, 0)
    first_token = reads_first_token(model)
    if first_token:
        models["last"] = _uniform(model, 1, sizes["heads"][-1], 0)
    told = measured_ms(models, length=length, threads=threads)
    layers = [
        [max(0.0, told[f"{heads} {ffn}"] - told["base"]) / (_LAYERS - 1) for ffn in sizes["ffn"]]
        for heads in sizes["heads"]
    ]
    table = LatencyTable(
        heads=sizes["heads"],
        ffn=sizes["ffn"],
        layer_ms=_rising(layers),
        base_ms=told["base"],
        last_ms=max(0.0, told["last"] - told["base"]) if first_token else None,
        length=length,
        threads=threads,
    )
    atomic.write_json(file, {"key": wanted, **asdict(table)})
    return table


def measured_ms(
    models: Mapping[str, PreTrainedModel], *, length: int, threads: int
) -> dict[str, float]:
    """Median milliseconds of one text, with every model exported to int8 and timed in turns."""
    with tempfile.TemporaryDirectory() as temporary:
        files = exported(models, Path(temporary))
        speed = timed(
            files, vocab_size=min(int(model.config.vocab_size) for model in models.values()),
            batch_sizes=[1], lengths=[length], threads=threads,
        )  # fmt: skip
    return {name: float(told["latency_ms"][f"b1_l{length}"]["p50"]) for name, told in speed.items()}


def exported(
    models: Mapping[str, PreTrainedModel], folder: Path, *, int8: bool = True
) -> dict[str, tuple[str, Path]]:
    """Write every model as ONNX, in int8 with scales for timing alone; formats and files."""
    files = {}
    with Bar("exporting models to time", len(models)) as bar:
        for number, (name, model) in enumerate(models.items()):
            plain = folder / f"{number}.onnx"
            export_onnx(model, plain)
            files[name] = ("onnx", plain)
            if int8:
                files[name] = ("onnx-int8", plain.with_suffix(".int8.onnx"))
                quantize_onnx(plain, files[name][1], Int8(scales=timing_scales(plain)))
                plain.unlink()
            bar.advance()
    return files


def timed(
    files: Mapping[str, tuple[str, Path]], *, vocab_size: int, threads: int, **cells: Any
) -> dict[str, dict[str, Any]]:
    """Time files in turns, with the batch sizes and lengths that ``cells`` names.

    See :func:`distill.evaluation.speed.measure`.
    """
    predictors = {
        name: FilePredictor(file, threads, name=name, format=format)
        for name, (format, file) in files.items()
    }
    return measure(
        predictors, threads=threads, repeats=_REPEATS, vocab_size=vocab_size, seed=0, **cells
    )


def _uniform(model: PreTrainedModel, layers: int, heads: int, ffn: int) -> PreTrainedModel:
    """A model whose layers have these sizes, but for the last, which is empty when others are not.

    A last layer that is exported for the first token alone does not stand for the others.
    """
    last = [heads if layers == 1 else 0], [ffn if layers == 1 else 0]
    return model_of_sizes(
        model, [heads] * (layers - 1) + last[0], [ffn] * (layers - 1) + last[1],
        head_width=head_dim(model),
    )  # fmt: skip


def model_of_sizes(
    model: PreTrainedModel, heads: list[int], ffn: list[int], *, head_width: int
) -> PreTrainedModel:
    """An untrained model of another's family, width and head, with so many heads and neurons."""
    own: Any = model.config
    kind: Any = pruned_config(anatomy(model).family.name)
    config = kind(
        vocab_size=VOCABULARY,
        head_dim=head_width,
        heads_per_layer=heads,
        ffn_per_layer=ffn,
        **{own.attribute_map.get("num_hidden_layers", "num_hidden_layers"): len(heads)},
        **_taken_over(model),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built: PreTrainedModel = class_of(config, head_of(model))(config).eval()
    return built


def _taken_over(model: PreTrainedModel) -> dict[str, Any]:
    """What of a model's configuration an untrained one of other sizes has too."""
    own, family = model.config, anatomy(model).family
    names = ["hidden_size", "num_attention_heads", "max_position_embeddings", "embedding_size"]
    names += [family.ffn_size, family.act, "type_vocab_size", "embedding_rank", POOLING, DENSE]
    found = {own.attribute_map.get(name, name): getattr(own, name, None) for name in names}
    kept = {name: value for name, value in found.items() if value is not None}
    return kept | {"num_labels": int(own.num_labels or 1)}


def _rising(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """More never takes less: noise that says so is ironed out."""
    grid: npt.NDArray[np.float64] = np.asarray(rows)
    grid = np.maximum.accumulate(np.maximum.accumulate(grid, axis=0), axis=1)
    return [[round(float(value), 5) for value in row] for row in grid]


def _key(model: PreTrainedModel, length: int, threads: int) -> dict[str, Any]:
    """What the table depends on, beside the machine: a run folder's stage stays on one."""
    return {
        "version": _VERSION,
        **_taken_over(model),
        "head_dim": head_dim(model),
        "family": anatomy(model).family.name,
        "head": head_of(model),
        "length": length,
        "threads": threads,
    }
