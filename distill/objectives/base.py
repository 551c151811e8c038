"""What an objective is: a weighted loss over the signals of a student and a teacher.

Legend: B batch, L length, D hidden, H heads, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.capture.signals import Signals
from distill.recipe.schema import WeightSchedule
from distill.system import distributed
from distill.system.errors import ModelError

Mode = Literal["masked", "reference"]


class Project(Protocol):
    """Takes a student's hidden state to the teacher's width."""

    def __call__(self, hidden: Tensor, layer: int) -> Tensor:
        """Project (B, L, d') of a student layer (0: the embedding) to (B, L, d)."""
        ...


class Objective(ABC):
    """One loss over signals.

    Args:
        weight: factor of this loss in the sum, or its course over the training; whoever adds the
            losses up applies it.
    """

    kind: ClassVar[str]
    """The name recipes and metrics use."""
    needs: ClassVar[frozenset[str]]
    """Signals it reads: names of the fields of :class:`~distill.capture.signals.Signals`."""

    labels: ClassVar[str] = "labels"
    """The key of the batch under which its labels stand."""

    def __init__(self, *, weight: float | WeightSchedule = 1.0) -> None:
        self.weight = weight

    def weight_at(self, progress: float) -> float:
        """The weight when so much of the training is done.

        Args:
            progress: share of the optimiser steps, from 0 to 1.
        """
        weight = self.weight
        return weight.at(progress) if isinstance(weight, WeightSchedule) else weight

    @property
    def mapped(self) -> bool:
        """Whether it compares the layers that the stage's layer map pairs."""
        return False

    @abstractmethod
    def __call__(
        self,
        student: Signals,
        teacher: Signals,
        *,
        mask: Tensor,
        layer_map: LayerMap,
        project: Project | None,
        labels: Tensor | None,
    ) -> Tensor:
        """The loss of one batch, a scalar in fp32, without its weight.

        Args:
            student: signals of the student, with gradients.
            teacher: signals of the teacher.
            mask: (B, L), 1 for a real token and 0 for padding.
            layer_map: what :meth:`layers` gave: which teacher layer each student layer is
                compared with.
            project: takes hidden states to the teacher's width; ``None`` compares as they are.
            labels: what the batch has under :attr:`labels`: class numbers, (B,).

        Raises:
            ModelError: student and teacher do not go together.
        """

    def layers(self, layer_map: LayerMap, *, student: int, teacher: int) -> LayerMap:
        """The pairs of layers at which this objective's signals are captured.

        Args:
            layer_map: the stage's.
            student: layers of the student.
            teacher: layers of the teacher.
        """
        del student, teacher
        return layer_map

    def projected(self, layer_map: LayerMap, *, widths: tuple[int, int]) -> frozenset[int]:
        """The student layers whose hidden states are projected; 0 is the embedding.

        Args:
            layer_map: what :meth:`layers` gave.
            widths: of the student and of the teacher.
        """
        del layer_map, widths
        return frozenset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(weight={self.weight})"


class LogitsComparison(Objective):
    """An objective that reads the logits of both models and nothing else."""

    @abstractmethod
    def compare(self, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
        """The loss of one batch; see :meth:`Objective.__call__`.

        Args:
            student: the student's logits, (B, C), with gradients.
            teacher: the teacher's, on the student's device.
            labels: what is right, (B,).
        """

    def __call__(
        self,
        student: Signals,
        teacher: Signals,
        *,
        mask: Tensor | None = None,
        layer_map: LayerMap | None = None,
        project: Project | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """See :class:`Objective`."""
        del mask, layer_map, project
        ours = wanted(student.logits, self.kind, "student")
        theirs = wanted(teacher.logits, self.kind, "teacher").to(ours.device)
        return self.compare(ours, theirs, labels)


def wanted(signal: Tensor | None, kind: str, whose: str) -> Tensor:
    """``signal``, or an error that says that it was not captured."""
    if signal is None:
        raise ModelError(f"objective '{kind}': the {whose}'s signal was not captured")
    return signal


def hidden_pairs(
    kind: str,
    student: Signals,
    teacher: Signals,
    layer_map: LayerMap,
    project: Project | None,
    *,
    always: bool = False,
    tokens: int | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Hidden states of paired layers: the student's in the teacher's width, and the teacher's.

    Args:
        kind: of the objective that asks.
        student: signals of the student.
        teacher: signals of the teacher.
        layer_map: the pairs.
        project: takes hidden states to the teacher's width.
        always: whether at equal widths too.
        tokens: the first so many tokens alone; left out, all L.

    Yields:
        Two times (B, L, D).

    Raises:
        ModelError: a signal was not captured.
    """
    for ours, theirs in layer_map.pairs:
        hidden = wanted(student.hidden.get(ours), kind, "student")[:, :tokens]
        target = wanted(teacher.hidden.get(theirs), kind, "teacher")[:, :tokens]
        if project is not None and (always or hidden.shape[-1] != target.shape[-1]):
            hidden = project(hidden, ours)
        yield hidden, target


def full(tensor: Tensor) -> Tensor:
    """``tensor`` in fp32, in which losses are taken whatever autocast says; fp64 is kept."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def masked_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of hidden states over real tokens, in fp32.

    ``sum(mask * (s - t)^2) / (D * sum(mask))``, so that adding padding changes nothing.

    Args:
        student: (B, L, D), already in the teacher's width.
        teacher: (B, L, D).
        mask: (B, L).

    Raises:
        ModelError: the widths differ.
    """
    same_shape(student, teacher)
    squares = (full(student) - full(teacher)).square().mean(dim=-1)  # (B, L)
    valid = mask.to(squares)  # (B, L)
    return distributed.weighted_mean((squares * valid).sum(), valid.sum())


def same_shape(student: Tensor, teacher: Tensor) -> None:
    """Refuse hidden states of two shapes."""
    if student.shape != teacher.shape:
        raise ModelError(
            f"the student's hidden states are {tuple(student.shape)} and the teacher's "
            f"{tuple(teacher.shape)}; project the student to the teacher's width"
        )
