r"""What a student of any depth and width will take and weigh: told from untrained ones, timed here.

Weights change neither time nor size. So of every width three untrained models of the recipe's own
family, head and format are exported and timed in turns, as the evaluation will do it: one layer;
four layers with few neurons; four with many; four with few and half the heads. Of the last of them
there is one file for each engine: the faster engine is taken for all. With L layers, F neurons and
heads that are A wide together a model then costs

.. math:: c = c_1 + (L - 1) \, b + (L - s) \, d \, (F - F_0) + (L - s / 2) \, h \, (A - A_0)

b a layer, d a neuron, h a column of the heads, s = 1 where the last layer computes one token alone
(its time, not its size), though keys and values of all. The table of embeddings, which costs no
time, is added to the size; the matrix behind a factored one costs what as many weights of neurons
do.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from distill.evaluation.cells import REAL, latency_cell, throughput_cell
from distill.evaluation.cost import bytes_of
from distill.export.onnx import reads_first_token
from distill.export.openvino import export_openvino
from distill.export.plain import export_table
from distill.pipeline.runner import prepare
from distill.pruning.latency import VOCABULARY, exported, model_of_sizes, timed
from distill.pruning.subwords import count_pieces, ids_to_keep
from distill.quantization.methods.table import quantize_table
from distill.recipe.choices import Choices, Engine
from distill.recipe.plan import plan_stages
from distill.recipe.schema import EvaluateStage, Limits, Recipe
from distill.recipe.shapes import Shape, StaticShape
from distill.recipe.sizes import Size
from distill.run_folder import RunFolder
from distill.stages.context import StageContext
from distill.stages.workspace import Workspace
from distill.system import atomic, digest
from distill.system.processor import physical_cores
from students.build import build_student
from students.static import StaticConfig, StaticForSequenceClassification, StaticModel

logger = logging.getLogger("distill")

_LAYERS = 4
#: The part of the heads that the last layer computes of all tokens even where it computes one.
_KEYS_AND_VALUES = 0.5
#: Of what is written of a table.
_VERSION = 3
#: By so much another engine than the recipe's own must be faster.
_FASTER = 0.9

#: Milliseconds of one example, milliseconds an example of a full batch, bytes.
Costs = list[float]
_Files = dict[str, tuple[str, Path]]


@dataclass(frozen=True)
class _Width:
    """What students of a width cost."""

    few: int  # neurons of the models that others are compared with
    heads: int  # the width of their heads together
    one: Costs  # one such layer
    layer: Costs  # each further one
    neuron: Costs  # a neuron more in each layer
    column: Costs  # a column of the heads more in each layer


@dataclass(frozen=True)
class ShapeTable:
    """Predicts latency, throughput and size of students."""

    widths: dict[str, _Width]  # what was measured, by hidden width
    static: dict[str, Costs]  # costs of static students
    engine: Engine  # what it was measured with
    # tokens that are left of the vocabulary, by the least count of each (0: all that the recipe
    # leaves)
    vocabulary: dict[str, int]
    # layers whose neurons cost nothing, for each cost: a last one that computes one token alone
    # takes no time
    skipped: list[int]
    bytes_each: int  # of a number of the table of embeddings

    def __call__(self, shape: Shape | StaticShape, trim: int = 0) -> Limits:
        tokens = self.vocabulary[str(trim)]
        if isinstance(shape, StaticShape):
            latency, each, size = self.static[_key(shape)]
            gone = self.vocabulary["0"] - tokens
            return _as_limits(latency, each, size - gone * shape.hidden * self.bytes_each)
        told, skipped = self.widths[_key(shape)], np.array(self.skipped)
        parts = (told.one, told.layer, told.neuron, told.column)
        one, layer, neuron, column = map(np.array, parts)
        costs = one + (shape.layers - 1) * layer
        costs += (shape.layers - skipped) * neuron * (shape.ffn - told.few)
        wider = shape.heads * shape.head_dim - told.heads
        costs += (shape.layers - skipped * _KEYS_AND_VALUES) * column * wider
        # A factored table's matrix takes and weighs what neurons of as many weights do.
        costs += neuron * shape.widening / (2 * shape.hidden)
        costs = np.maximum(costs, one / _LAYERS)
        width = shape.embedding or shape.hidden
        costs[-1] += (tokens * shape.words - VOCABULARY * width) * self.bytes_each
        return _as_limits(*costs.tolist())


def _as_limits(one: float, each: float, size: float) -> Limits:
    return Limits(
        latency_ms=round(one, 4), throughput=round(1e3 / each, 1), size_mb=round(size / 1e6, 3)
    )


def _key(shape: Shape | StaticShape) -> str:
    if isinstance(shape, StaticShape):
        return f"{shape.hidden}/{shape.head}"
    return str(shape.hidden)


def measure_shapes(
    choices: Choices, file: Path, *, engines: Sequence[Engine], trims: bool
) -> ShapeTable:
    """Measure the table, or read it where it was measured before.

    Args:
        choices: recipe and shapes.
        file: where the table is kept.
        engines: what may serve the model; the first is taken unless the second is clearly faster.
        trims: whether a trimmed vocabulary will be asked for.

    Raises:
        UserError: what the recipe names cannot be used.
    """
    recipe, shapes = choices.recipe, choices.shapes()
    stages = recipe.model_dump(mode="json", include={"data", "task", "teacher", "stages"})
    # A rank changes nothing that is measured.
    sizes = [{k: v for k, v in asdict(shape).items() if k != "rank"} for shape in shapes]
    asked = _VERSION, sizes, list(engines), trims
    key = digest.of_json([stages, *asked, physical_cores()])
    if file.is_file():
        content = json.loads(file.read_text("utf-8"))
        if content.pop("key", None) == key:
            widths = {name: _Width(**one) for name, one in content.pop("widths").items()}
            return ShapeTable(widths=widths, **content)
    table = _Measurement(recipe, shapes, engines).table(choices.trims if trims else (0,))
    atomic.write_json(file, {"key": key, **asdict(table)})
    return table


class _Measurement:
    """One measuring of a table."""

    def __init__(
        self, recipe: Recipe, shapes: Sequence[Shape | StaticShape], engines: Sequence[Engine]
    ) -> None:
        self.recipe, self.engines, self.workspace = recipe, engines, prepare(recipe)
        self.encoders = [shape for shape in shapes if isinstance(shape, Shape)]
        self.statics = {_key(one): one for one in shapes if isinstance(one, StaticShape)}
        plan = plan_stages(recipe)
        self.context = StageContext(RunFolder(Path()), plan[-1], plan, self.workspace)
        self.source = self.context.pretrained(recipe.source)
        self.int8 = any(stage.kind == "quantize" for stage in recipe.stages)

    def table(self, trims: Sequence[int]) -> ShapeTable:
        left = {str(n): count for n, count in self._vocabulary(trims).items()}
        ends = {_key(one): self._ends(_key(one)) for one in self.encoders}
        models = {f"{key} {name}": m for key, (*_, own) in ends.items() for name, m in own.items()}
        with tempfile.TemporaryDirectory() as temporary:
            files = exported(models, Path(temporary), int8=self.int8)
            engine = self._faster(files[next(reversed(files))])
            if engine == "openvino":
                files = {name: _as_openvino(file) for name, (_, file) in files.items()}
            for name, one in self.statics.items():
                file = Path(temporary) / f"static{len(files)}"
                files[name] = _static_file(one, left["0"], file, self.int8)
            costs = _costs(self.recipe, self.workspace, files)
        skips = any(reads_first_token(model) for model in models.values())
        skipped = np.array([skips, skips, False], dtype=int)
        widths: dict[str, _Width] = {}
        for key, (few, many, heads, thin_heads, own) in ends.items():
            single, narrow, wide, thin = (np.array(costs[f"{key} {name}"]) for name in own)
            neuron = (wide - narrow) / max(1, many - few) / (_LAYERS - skipped)
            column = np.maximum(0.0, narrow - thin) / max(1, heads - thin_heads)
            column /= _LAYERS - skipped * _KEYS_AND_VALUES
            parts = (single, (narrow - single) / (_LAYERS - 1), neuron, column)
            widths[key] = _Width(few, heads, *(part.tolist() for part in parts))
        return ShapeTable(
            widths=widths,
            static={name: costs[name] for name in self.statics},
            engine=engine,
            vocabulary=left,
            skipped=skipped.tolist(),
            bytes_each=1 if self.int8 else 4,
        )

    def _ends(self, key: str) -> tuple[int, int, int, int, dict[str, PreTrainedModel]]:
        """Fewest and most neurons, widths of all heads and of half, and the models to be timed."""
        alike = [shape for shape in self.encoders if _key(shape) == key]
        shape, neurons = alike[0], sorted(one.ffn for one in alike)
        few, many = neurons[0], neurons[-1]
        size = Size(1, shape.hidden, 1, many, "")
        template = build_student(
            self.source, size, init="random", head=self.workspace.task.head,
            vectors=self.context.vectors_width(self.source),
        )  # fmt: skip
        for name, value in self.workspace.task.model_settings.items():
            setattr(template.config, name, value)
        sizes = {
            "one": (1, shape.heads, few),
            "narrow": (_LAYERS, shape.heads, few),
            "wide": (_LAYERS, shape.heads, many),
            "thin": (_LAYERS, max(1, shape.heads // 2), few),
        }
        models = {
            name: model_of_sizes(
                template, [heads] * layers, [ffn] * layers, head_width=shape.head_dim
            )
            for name, (layers, heads, ffn) in sizes.items()
        }
        thin_heads = max(1, shape.heads // 2) * shape.head_dim
        return few, many, shape.heads * shape.head_dim, thin_heads, models

    def _faster(self, file: tuple[str, Path]) -> Engine:
        """The engine that runs a model faster, of those that may."""
        first, *others = self.engines
        if not others:
            return first
        files = {"onnx": file, "openvino": _as_openvino(file[1])}
        costs = _costs(self.recipe, self.workspace, files)
        second = others[0]
        found = second if costs[second][0] < _FASTER * costs[first][0] else first
        times = " and ".join(f"{name} {one[0]:.3g} ms" for name, one in costs.items())
        logger.info("engine: %s (an untrained student took %s)", found, times)
        return found

    def _vocabulary(self, trims: Sequence[int]) -> dict[int, int]:
        """How many tokens are left of the vocabulary, by the least count of each."""
        stage = next((s for s in plan_stages(self.recipe) if s.trims_vocabulary), None)
        own = 0 if stage is None else getattr(stage.config, "min_count", None) or 1
        least = {trim: trim or own for trim in trims}
        if not any(least.values()):
            return {0: int(self.source.config.vocab_size)}
        train = self.workspace.data.train
        counts = count_pieces(self.workspace.tokenizer, [*train.texts, *(train.pairs or ())])
        left = {}
        for trim, count in least.items():
            often = (piece for piece, number in counts.items() if number >= count)
            left[trim] = len(ids_to_keep(self.workspace.tokenizer, often))
        return left if least[0] else left | {0: int(self.source.config.vocab_size)}


def _as_openvino(file: Path) -> tuple[str, Path]:
    target = file.with_suffix(".xml")
    export_openvino(file, target)
    return "openvino-int8" if ".int8." in file.name else "openvino", target


def _costs(recipe: Recipe, workspace: Workspace, files: _Files) -> dict[str, Costs]:
    """What every file costs, timed at the cells that the evaluation reports."""
    config = recipe.stages[-1]
    if not isinstance(config, EvaluateStage):
        raise TypeError("the recipe's last stage is no evaluation")
    numbers = [int(length) for length in config.lengths if length != REAL]
    length = REAL if REAL in config.lengths else min(numbers)
    rows = workspace.tokenized(workspace.final_split).lengths.tolist()
    speed = timed(
        files, vocab_size=VOCABULARY, threads=config.threads or physical_cores(),
        batch_sizes=sorted({min(config.batch_sizes), max(config.batch_sizes)}), lengths=[length],
        example_lengths=rows,
    )  # fmt: skip
    costs: dict[str, Costs] = {}
    for name, (_, file) in files.items():
        times: dict[str, Any] = speed[name]
        alone, many = (
            latency_cell(set(times["latency_ms"])),
            throughput_cell(set(times["throughput"])),
        )
        one, each = times["latency_ms"][alone]["p50"], 1e3 / times["throughput"][many]
        costs[name] = [float(one), float(each), float(bytes_of(file))]
    return costs


def _static_file(shape: StaticShape, vocab: int, path: Path, int8: bool) -> tuple[str, Path]:
    config = StaticConfig(
        vocab_size=vocab, hidden_size=shape.hidden, head_size=shape.head, special_ids=[]
    )
    config.num_labels = shape.labels or 1
    model = (StaticForSequenceClassification if shape.labels else StaticModel)(config).eval()
    plain = path.with_suffix(".safetensors")
    export_table(model, plain)
    if not int8:
        return "numpy", plain
    small = path.with_suffix(".int8.safetensors")
    quantize_table(plain, small)
    return "numpy-int8", small
