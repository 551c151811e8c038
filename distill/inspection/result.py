"""What is found out about one text, as plain values: behind the page, the console and the JSON.

Legend: L tokens, H heads of a layer.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Attribution:
    """What each token adds to a model's output."""

    # of each token, in units of the output; they add up to ``difference``
    values: tuple[float, ...]
    output: float  # what is explained: the output for the text
    baseline: float  # the same with every word masked
    steps: int  # at how many points of the way between both gradients were taken

    @property
    def difference(self) -> float:
        """What the words bring in all."""
        return self.output - self.baseline

    @property
    def gap(self) -> float:
        """How far the values' sum is from ``difference``: the error of the integration."""
        return sum(self.values) - self.difference


@dataclass(frozen=True)
class Reading:
    """One model's reading of the text."""

    role: str
    folder: str
    tokens: tuple[str, ...]  # the tokens that it reads, special ones included
    segments: tuple[int, ...]  # 0 or 1 for each: the first text or the second
    # what it says of every label: a probability, or a value where the task has none
    outputs: dict[str, float]
    predicted: str
    attribution: Attribution
    # layer, counted from 1, to attention probabilities (H, L, L): row i is how much token i takes
    # from each token. A layer without heads has H = 0.
    attention: dict[int, Map]
    depth: int

    def mean_attention(self, layer: int) -> Map | None:
        """The heads' mean (L, L); ``None`` of a layer without heads."""
        heads = self.attention[layer]
        return heads.mean(axis=0) if len(heads) else None


@dataclass(frozen=True)
class Inspection:
    """A text as a teacher and a student read it."""

    text: str
    pair: str | None
    task: str
    explained: str  # the output that attributions are of, in words
    student: Reading
    teacher: Reading | None
    # pairs (student layer, teacher layer) that are shown beside each other; the teacher layer is
    # ``None`` without a teacher
    layers: tuple[tuple[int, int | None], ...]
    notes: tuple[str, ...] = ()

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The teacher's, where there is one, then the student's."""
        return (self.student,) if self.teacher is None else (self.teacher, self.student)

    @property
    def same_tokens(self) -> bool:
        """Whether both read the same tokens, so that they compare token by token."""
        return self.teacher is not None and self.teacher.tokens == self.student.tokens

    def attention_overlap(self, student: int, teacher: int | None) -> float | None:
        r"""How much two layers' mean attention has in common: 1 is the same, 0 is nothing.

        .. math:: \frac{1}{L}\sum_i \sum_j \min(p_{ij}, q_{ij})

        ``None`` where there is nothing to compare.
        """
        if self.teacher is None or teacher is None or not self.same_tokens:
            return None
        own, theirs = self.student.mean_attention(student), self.teacher.mean_attention(teacher)
        if own is None or theirs is None:
            return None
        return float(np.minimum(own, theirs).sum(axis=-1).mean())

    @property
    def attribution_cosine(self) -> float | None:
        """Cosine of both attributions: 1 where the same tokens count; ``None`` with other ones."""
        if self.teacher is None or not self.same_tokens:
            return None
        own, theirs = self.student.attribution.values, self.teacher.attribution.values
        norm = math.hypot(*own) * math.hypot(*theirs)
        return sum(a * b for a, b in zip(own, theirs, strict=True)) / norm if norm else None

    def as_plain(self) -> dict[str, Any]:
        """Everything as values for JSON; attention as the heads' mean."""
        return {
            "schema": 1,
            "text": self.text,
            "pair": self.pair,
            "task": self.task,
            "explained": self.explained,
            "same_tokens": self.same_tokens,
            "attribution_cosine": self.attribution_cosine,
            "teacher": None if self.teacher is None else _plain(self.teacher),
            "student": _plain(self.student),
            "layers": [
                {
                    "student_layer": student,
                    "teacher_layer": teacher,
                    "overlap": self.attention_overlap(student, teacher),
                }
                for student, teacher in self.layers
            ],
            "notes": list(self.notes),
        }


def _plain(reading: Reading) -> dict[str, Any]:
    found = reading.attribution
    return {
        "folder": reading.folder,
        "predicted": reading.predicted,
        "outputs": reading.outputs,
        "tokens": list(reading.tokens),
        "segments": list(reading.segments),
        "attribution": {**asdict(found), "difference": found.difference, "gap": found.gap},
        "attention": {
            str(layer): {
                "heads": len(heads),
                "mean": None if mean is None else mean.astype(np.float64).round(5).tolist(),
            }
            for layer, heads in reading.attention.items()
            for mean in (reading.mean_attention(layer),)
        },
    }
