"""The ``teacher``, ``baseline`` and ``student`` sections."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from distill.section import PositiveInt, Section, TrainConfig, Weight


class FinetuneConfig(TrainConfig):
    """Fine-tuning of the teacher on the task's labels."""

    freeze_layers: Annotated[StrictInt, Field(ge=0)] = 0
    """Keep the embeddings and so many of the lowest layers as they are; 0 trains all."""


class TeacherModel(Section):
    """One model that is learned from."""

    model: StrictStr
    """A hub name, a folder, or ``minilm-l6`` (the pretrained BERT of the ``offline`` extra)."""
    revision: StrictStr | None = None
    """The hub revision."""
    trust_remote_code: StrictBool = False
    """Allow code that comes with the model to run. Off unless you say so."""
    finetune: FinetuneConfig | None = None
    """Train it on the task first; left out, it is used as it is, its labels checked by name."""
    labels: list[StrictStr] | None = None
    """A fine-tuned teacher's label names, in order, where its folder does not give them."""
    weight: Weight = 1.0
    """Its share in the average of several teachers' logits; the shares are made to add up to 1."""


class TeacherConfig(TeacherModel):
    """The model that is learned from; of several the first, which gives the inner signals."""

    more: list[TeacherModel] = []
    """Further teachers: the logits that are learned are the weighted average of all teachers'."""

    @property
    def all(self) -> list[TeacherModel]:
        """Every teacher by itself, the first one first."""
        own = {name: getattr(self, name) for name in TeacherModel.model_fields}
        return [TeacherModel(**own), *self.more]


class BaselineConfig(TrainConfig):
    """How the baseline (the student trained on labels only) is trained."""


class StudentConfig(Section):
    """The small model."""

    size: StrictStr
    """``tinybert4`` (4 layers, 312 wide), ``tinybert6``, ... or ``LxD`` such as ``3x384``."""
    init: StrictStr = "teacher-layers"
    """``teacher-layers`` (copied, sliced where narrower), ``random``, or the folder of a model."""
    init_layers: Literal["uniform", "first", "last"] | list[PositiveInt] = "uniform"
    """Which teacher layers are copied; a list counts them from 1."""
