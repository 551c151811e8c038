r"""What a student of any depth and width will take and weigh: told from untrained ones, timed here.

Weights change neither time nor size. So of every width three untrained models of the recipe's own
family, head and format are exported and timed in turns, as the evaluation will do it: one layer;
four layers with few neurons; four with many. With L layers and F neurons a model then costs

.. math:: c = c_1 + (L - 1) \, b + (L - s) \, d \, (F - F_0)

b a layer, d a neuron, s = 1 where the last layer computes one token alone (its time, not its size).
The table of embeddings, which costs no time, is added to the size.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill.evaluation.cells import REAL, latency_cell, throughput_cell
from distill.evaluation.cost import bytes_of
from distill.export.onnx import reads_first_token
from distill.export.plain import export_table
from distill.pipeline.runner import prepare
from distill.pruning.latency import VOCABULARY, exported, model_of_sizes, timed
from distill.pruning.subwords import count_pieces, ids_to_keep
from distill.quantization.methods.table import quantize_table
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

_LAYERS = 4

#: Milliseconds of one example, milliseconds an example of a full batch, bytes.
Costs = list[float]


@dataclass(frozen=True)
class _Width:
    """What was measured of a width; the three models' costs."""

    few: int
    many: int
    one: Costs
    narrow: Costs
    wide: Costs


@dataclass(frozen=True)
class ShapeTable:
    """Predicts latency, throughput and size of students.

    Args:
        widths: what was measured, by width and heads.
        static: the same of static students.
        vocab: tokens that are left of the vocabulary.
        first_token: whether the last layer computes one token alone.
        bytes_each: of a number of the table of embeddings.
    """

    widths: dict[str, _Width]
    static: dict[str, Costs]
    vocab: int
    first_token: bool
    bytes_each: int

    def __call__(self, shape: Shape | StaticShape) -> Limits:
        """What a student of this shape takes and weighs."""
        if isinstance(shape, StaticShape):
            return _as_limits(self.static[_key(shape)])
        told = self.widths[_key(shape)]
        costs = []
        for place, values in enumerate(zip(told.one, told.narrow, told.wide, strict=True)):
            skipped = 1 if self.first_token and place < len(values) - 1 else 0
            one, narrow, wide = values
            layer = (narrow - one) / (_LAYERS - 1)
            neuron = (wide - narrow) / max(1, told.many - told.few) / (_LAYERS - skipped)
            more = (shape.layers - skipped) * neuron * (shape.ffn - told.few)
            costs.append(max(one / _LAYERS, one + (shape.layers - 1) * layer + more))
        width = shape.embedding or shape.hidden
        costs[-1] += (self.vocab - VOCABULARY) * width * self.bytes_each
        return _as_limits(costs)


def _as_limits(costs: Costs) -> Limits:
    one, each, size = costs
    return Limits(
        latency_ms=round(one, 4), throughput=round(1e3 / each, 1), size_mb=round(size / 1e6, 3)
    )


def _key(shape: Shape | StaticShape) -> str:
    if isinstance(shape, StaticShape):
        return f"{shape.hidden}/{shape.head}"
    return f"{shape.hidden}/{shape.heads}/{shape.head_dim}"


def measure_shapes(recipe: Recipe, shapes: Sequence[Shape | StaticShape], file: Path) -> ShapeTable:
    """Measure the table, or read it where it was measured before.

    Args:
        recipe: task, data and what becomes of a student.
        shapes: final shapes that will be asked for; of every width the fewest and most neurons.
        file: where the table is kept.

    Raises:
        UserError: what the recipe names cannot be used.
    """
    stages = recipe.model_dump(mode="json", include={"data", "task", "teacher", "stages"})
    key = digest.of_json([stages, [asdict(shape) for shape in shapes], physical_cores()])
    if file.is_file():
        content = json.loads(file.read_text("utf-8"))
        if content.pop("key") == key:
            widths = {name: _Width(**one) for name, one in content.pop("widths").items()}
            return ShapeTable(widths=widths, **content)
    table = _measured(recipe, shapes)
    atomic.write_json(file, {"key": key, **asdict(table)})
    return table


def _measured(recipe: Recipe, shapes: Sequence[Shape | StaticShape]) -> ShapeTable:
    workspace, plan = prepare(recipe), plan_stages(recipe)
    context = StageContext(RunFolder(Path()), plan[-1], plan, workspace)
    source = context.pretrained(recipe.source)
    int8 = any(stage.kind == "quantize" for stage in recipe.stages)
    vocab = _vocabulary_left(recipe, workspace, int(source.config.vocab_size))
    encoders = [shape for shape in shapes if isinstance(shape, Shape)]
    models, sizes = {}, {}
    for key in {_key(shape): None for shape in encoders}:
        alike = [shape for shape in encoders if _key(shape) == key]
        shape, neurons = alike[0], sorted(one.ffn for one in alike)
        few, many = neurons[0], neurons[-1]
        size = Size(1, shape.hidden, 1, many, "")
        template = build_student(
            source, size, init="random", head=workspace.task.head,
            vectors=context.vectors_width(source),
        )  # fmt: skip
        for name, value in workspace.task.model_settings.items():
            setattr(template.config, name, value)
        sizes[key] = (few, many)
        for name, layers, ffn in (
            ("one", 1, few), ("narrow", _LAYERS, few), ("wide", _LAYERS, many)
        ):  # fmt: skip
            models[f"{key} {name}"] = model_of_sizes(
                template, [shape.heads] * layers, [ffn] * layers, head_width=shape.head_dim
            )
    first_token = any(reads_first_token(model) for model in models.values())
    with tempfile.TemporaryDirectory() as temporary:
        files = exported(models, Path(temporary), int8=int8)
        for number, one in enumerate(s for s in shapes if isinstance(s, StaticShape)):
            files[_key(one)] = _static_file(one, vocab, Path(temporary) / f"static{number}", int8)
        costs = _costs(recipe, workspace, files)
    return ShapeTable(
        widths={
            key: _Width(few, many, *(costs[f"{key} {name}"] for name in ("one", "narrow", "wide")))
            for key, (few, many) in sizes.items()
        },
        static={_key(one): costs[_key(one)] for one in shapes if isinstance(one, StaticShape)},
        vocab=vocab,
        first_token=first_token,
        bytes_each=1 if int8 else 4,
    )


def _costs(
    recipe: Recipe, workspace: Workspace, files: dict[str, tuple[str, Path]]
) -> dict[str, Costs]:
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
    """An untrained static student as it will be served."""
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


def _vocabulary_left(recipe: Recipe, workspace: Workspace, vocab: int) -> int:
    """How many tokens a stage that trims the vocabulary leaves."""
    for stage in plan_stages(recipe):
        if stage.trims_vocabulary:
            train = workspace.data.train
            counts = count_pieces(workspace.tokenizer, [*train.texts, *(train.pairs or ())])
            least = getattr(stage.config, "min_count", None) or 1
            often = (piece for piece, count in counts.items() if count >= least)
            return len(ids_to_keep(workspace.tokenizer, often))
    return vocab
