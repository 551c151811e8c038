"""What an objective is: a weighted loss over the signals of a student and a teacher.

Legend: B batch, L length, D hidden, H heads, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.capture.signals import Signals
from distill.recipe.schema import WeightSchedule
from distill.recipe.schema.objectives import ObjectiveConfig
from distill.system.errors import ModelError

#: ``masked``: means over real tokens, so that padding changes nothing. ``reference``: the losses of
#: TinyBERT's published code, to the letter, for parity with it: padded queries, padded hidden
#: states and padded keys (as zeros) are part of every mean (Jiao et al. 2020).
Mode = Literal["masked", "reference"]
C = TypeVar("C", bound=ObjectiveConfig)


class Project(Protocol):
    """Takes a student's hidden state to the teacher's width."""

    def __call__(self, hidden: Tensor, layer: int) -> Tensor:
        """Project (B, L, d') of a student layer (0: the embedding) to (B, L, d)."""
        ...


@dataclass(frozen=True)
class Compared:
    """What an objective reads of one batch."""

    student: Signals  # signals of the student, with gradients
    teacher: Signals  # signals of the teacher
    mask: Tensor  # (B, L), 1 for a real token and 0 for padding
    # what :meth:`Objective.layers` gave: which teacher layer each student layer is compared with
    layer_map: LayerMap = field(default_factory=lambda: LayerMap(()))
    # takes hidden states to the teacher's width; ``None`` compares as they are
    project: Project | None = None
    # what the batch has under :attr:`Objective.labels`: class numbers, (B,)
    labels: Tensor | None = None


class Objective(ABC, Generic[C]):
    """One loss over signals.

    Args:
        config: its part of the recipe, with its settings, and its weight in the sum; whoever adds
            the losses up applies that.
        mode: whose arithmetic.
    """

    labels: ClassVar[str] = "labels"
    """The key of the batch under which its labels stand."""

    def __init__(self, config: C, mode: Mode = "masked") -> None:
        self.config = config
        self.mode = mode
        self.kind = config.kind
        #: Signals it reads: names of the fields of :class:`~distill.capture.signals.Signals`.
        self.needs = config.signals

    @abstractmethod
    def __call__(self, batch: Compared) -> Tensor:
        """The loss of one batch, a scalar in fp32, without its weight.

        Raises:
            ModelError: student and teacher do not go together.
        """

    def weight_at(self, progress: float) -> float:
        """The weight when so much of the training is done.

        Args:
            progress: share of the optimiser steps, from 0 to 1.
        """
        weight = self.config.weight
        return weight.at(progress) if isinstance(weight, WeightSchedule) else weight

    def layers(self, layer_map: LayerMap, *, student: int, teacher: int) -> LayerMap:
        """The pairs of layers at which this objective's signals are captured.

        Args:
            layer_map: the stage's.
            student: layers of the student.
            teacher: layers of the teacher.
        """
        return layer_map

    def projected(self, layer_map: LayerMap, *, widths: tuple[int, int]) -> frozenset[int]:
        """The student layers whose hidden states are projected; 0 is the embedding.

        Args:
            layer_map: what :meth:`layers` gave.
            widths: of the student and of the teacher.
        """
        return frozenset()

    def pair(
        self, batch: Compared, signal: str, layers: tuple[int, int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """A signal of the student and of the teacher, on the student's device.

        Args:
            batch: the signals.
            signal: which.
            layers: of which layers, where it is a signal of layers.

        Raises:
            ModelError: it was not captured.
        """
        found: list[Tensor] = []
        for place, whose in enumerate(("student", "teacher")):
            value = getattr(getattr(batch, whose), signal)
            if layers is not None:
                value = value.get(layers[place])
            if value is None:
                raise ModelError(f"objective '{self.kind}': the {whose}'s signal was not captured")
            found.append(value)
        return found[0], found[1].to(found[0].device)

    def pairs(self, batch: Compared, *signals: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Each signal of each pair of the layer map, as :meth:`pair` gives it."""
        for layers in batch.layer_map.pairs:
            for signal in signals:
                yield self.pair(batch, signal, layers)


def full(tensor: Tensor) -> Tensor:
    """``tensor`` in fp32, in which losses are taken whatever autocast says; fp64 is kept."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
