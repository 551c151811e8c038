"""What models of a recipe weigh and cost, told from their shapes; no weights are loaded.

Legend: L length, D hidden size, H heads, F feed-forward neurons, C classes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from distill.recipe.known import TeacherShape, teacher_shape
from distill.recipe.plan import PlannedStage
from distill.recipe.rows import Rows
from distill.recipe.schema import (
    DistillStage,
    LayerSearch,
    PruneStage,
    QuantizeStage,
    Recipe,
    TeacherModel,
    TrainConfig,
)
from distill.recipe.schema.prune import SAMPLES, SCORE_STEPS, width_left
from distill.recipe.sizes import Size

#: Tokens of the example whose multiply-accumulates are told.
TOLD_LENGTH = 32
#: Forward and backward together cost about three forward passes.
_TRAINING = 3
#: Reading, projecting and comparing inner states make a training step longer; logits for the
#: cache are made in batches of rows of like length, without padding (see `recipe/speed.py`).
_MATCHING, _CACHING = 1.5, 0.3
_BYTES = 4


@dataclass(frozen=True)
class Shape:
    """The shape of a BERT classifier, stock or pruned alike in every layer.

    Args:
        layers: number of layers.
        hidden: D.
        heads: attention heads in every layer.
        head_dim: width of a head.
        ffn: F.
        vocab: rows of the word embeddings.
        positions: rows of the position embeddings.
        types: rows of the token type embeddings.
        labels: C.
    """

    layers: int
    hidden: int
    heads: int
    head_dim: int
    ffn: int
    vocab: int
    positions: int
    types: int
    labels: int

    @classmethod
    def of_teacher(cls, teacher: TeacherShape, labels: int) -> Shape:
        """The shape of a teacher with a head for the task."""
        return cls(
            layers=teacher.layers,
            hidden=teacher.hidden,
            heads=teacher.heads,
            head_dim=teacher.hidden // teacher.heads,
            ffn=teacher.ffn,
            vocab=teacher.vocab,
            positions=teacher.positions,
            types=teacher.types,
            labels=labels,
        )

    def student(self, size: Size) -> Shape:
        """A student of a size, with this teacher's vocabulary."""
        return replace(
            self,
            layers=size.layers,
            hidden=size.hidden,
            heads=size.heads,
            head_dim=size.hidden // size.heads,
            ffn=size.ffn,
        )

    def pruned(self, heads: float, ffn: float) -> Shape:
        """What is left after shares of heads and neurons are removed."""
        return replace(self, heads=_kept(self.heads, heads), ffn=_kept(self.ffn, ffn))

    @property
    def embedding_parameters(self) -> int:
        """Numbers in the three embedding tables."""
        return (self.vocab + self.positions + self.types) * self.hidden

    @property
    def parameters(self) -> int:
        """All numbers: embeddings, layers, pooler and classifier, with biases and LayerNorm."""
        width = self.heads * self.head_dim
        attention = 3 * (self.hidden * width + width) + width * self.hidden + self.hidden
        feed_forward = 2 * self.hidden * self.ffn + self.ffn + self.hidden
        layer = attention + feed_forward + 4 * self.hidden
        head = (self.hidden + 1) * (self.hidden + self.labels)
        return self.embedding_parameters + 2 * self.hidden + self.layers * layer + head

    @property
    def bytes_fp32(self) -> int:
        """Bytes of the weights at four a number."""
        return _BYTES * self.parameters

    def macs(self, length: float) -> float:
        """Multiply-accumulates of one example of L tokens: linear layers and attention."""
        width = self.heads * self.head_dim
        layer = length * (4 * self.hidden * width + 2 * self.hidden * self.ffn)
        layer += 2 * length * length * width
        return self.layers * layer + self.hidden * (self.hidden + self.labels)


def _kept(count: int, removed: float) -> int:
    return min(count, max(1, round(count * (1 - removed))))


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _own(config: TeacherModel, first: Shape) -> Shape:
    """The shape of one of several teachers; the first one's where it is not known."""
    found = teacher_shape(config.model)
    return Shape.of_teacher(found, first.labels) if found else first


def stage_macs(stage: PlannedStage, rows: Rows, teacher: Shape, student: Shape) -> float:
    """Multiply-accumulates of a stage's training.

    Args:
        stage: the stage.
        rows: the training rows.
        teacher: the teacher's shape.
        student: the student's shape when the stage ends.
    """
    config = stage.config
    each_teacher, each_student = teacher.macs(rows.tokens), student.macs(rows.tokens)
    match config:
        case TeacherModel(finetune=finetune):
            # The first teacher's logits are counted where they are learned.
            passes = 0 if stage.name == "teacher" else _CACHING
            tuned = _seen(finetune, rows) if finetune else 0
            return (_TRAINING * tuned + passes * rows.count) * _own(config, teacher).macs(
                rows.tokens
            )
        case DistillStage():
            seen = _seen(config, rows)
            inner = any(o.signals - {"logits", "mlm"} for o in config.objectives)
            cached = rows.count if any("logits" in o.signals for o in config.objectives) else 0
            taught = seen if inner else _CACHING * cached
            searched = _search_rows(config, teacher.layers, student.layers)
            return (
                (_MATCHING if inner else 1) * _TRAINING * seen * each_student
                + taught * each_teacher
                # Half of a candidate's steps run the teacher; the logits of the others are cached.
                + searched * (_TRAINING * each_student + each_teacher / 2)
            )
        case PruneStage():
            scoring = _TRAINING * _judged(config, rows.count) * each_student
            seen = 0
            if config.recovery:
                between = config.recovery.model_copy(update={"epochs": 1})
                seen = _seen(config.recovery, rows) + (config.rounds - 1) * _seen(between, rows)
            return scoring + _TRAINING * seen * each_student
        case QuantizeStage() if config.method == "qat":
            return _TRAINING * _seen(config.train, rows) * each_student
        case TrainConfig():
            return _TRAINING * _seen(config, rows) * each_student
    return 0.0


def _search_rows(config: DistillStage, teacher_layers: int, student_layers: int) -> int:
    """Rows that the candidates of a layer map search see, each as if its map were its own."""
    if config.layer_map != "search":
        return 0
    search = config.search or LayerSearch()
    kinds = 4 if teacher_layers % student_layers == 0 else 3
    count = len(search.candidates) if search.candidates else kinds
    return count * 2 * search.steps * config.batch_size * config.accumulate


def _seen(config: TrainConfig, rows: Rows) -> int:
    """Rows that a training sees, each as often as it sees it."""
    if config.steps is not None:
        return config.steps * config.accumulate * config.batch_size
    return config.epochs * rows.count


def _judged(config: PruneStage, rows: int) -> int:
    """Examples that a prune stage takes gradients of to choose, in all of its rounds."""
    steps = config.score_steps
    match config.method:
        case "fisher":
            return config.rounds * (config.samples or SAMPLES)
        case "taylor" | "depth":
            return config.rounds * (steps or SCORE_STEPS) * config.batch_size
        case "movement":
            return steps * config.batch_size if steps else rows
    return 0


def _after(shape: Shape, config: PruneStage) -> Shape:
    """The shape after a prune stage; what only a measurement can tell is left as it is."""
    if config.method == "depth":
        left = len(config.keep) if config.keep else shape.layers - (config.layers or 0)
        return replace(shape, layers=max(1, left))
    if config.budget is not None:
        removed = 1 - (config.budget.macs or config.budget.parameters or 1.0)
        return shape.pruned(removed, removed)
    left = width_left(shape.hidden, config.hidden or 0.0)
    return replace(shape.pruned(*config.shares), hidden=left)


def stage_bytes(stage: PlannedStage, teacher: Shape, student: Shape) -> int:
    """Bytes that a stage leaves on the disk at most: weights, best weights, optimiser's moments."""
    model = _own(stage.config, teacher) if isinstance(stage.config, TeacherModel) else student
    copies = {"quantize": 1.25, "export": 2.25, "evaluate": 0.0}
    if isinstance(stage.config, TeacherModel) and stage.config.finetune is None:
        return model.bytes_fp32
    return round(copies.get(stage.kind, 5.0) * model.bytes_fp32)


def shapes_by_stage(
    recipe: Recipe, stages: list[PlannedStage], teacher: Shape, size: Size
) -> list[Shape]:
    """The student's shape at the end of every stage."""
    shape, found = teacher.student(size), []
    for stage in stages:
        if isinstance(stage.config, PruneStage):
            shape = _after(shape, stage.config)
        found.append(shape)
    return found
