"""The ``prune`` stage: what is removed from the student, how it is chosen, and what follows."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, StrictBool

from distill.section import Name, PositiveInt, Section, Share, TrainConfig

#: Methods that remove attention heads and feed-forward neurons.
UNIT_METHODS = ("fisher", "taylor", "l1", "movement")
#: What is removed where neither shares nor a budget are given.
HEADS, FFN = 0.33, 0.5
SAMPLES, SCORE_STEPS, ROUNDS, TRIES = 2048, 50, 4, 3
#: Kernels, and blocks of 4-bit weights, take numbers eight at a time.
_MULTIPLE = 8

Part = Annotated[float, Field(gt=0, lt=1)]


def width_left(width: int, share: float) -> int:
    """How much of a hidden width stays when a share goes: a multiple of 8 where the width is one.

    Example:
        >>> width_left(384, 0.2)
        304
    """
    step = math.gcd(width, _MULTIPLE)
    return min(width, max(step, step * round(width * (1.0 - share) / step)))


class Budget(Section):
    """What the student's encoder may cost afterwards: one of three measures."""

    macs: Part | None = None
    """Share of the encoder's multiply-accumulates that may stay."""
    parameters: Part | None = None
    """Share of the encoder's parameters that may stay; embeddings and head do not count."""
    latency_ms: Annotated[float, Field(gt=0)] | None = None
    """Milliseconds of one text in the int8 ONNX graph on this machine, whole model."""
    length: PositiveInt | None = None
    """Tokens for which MACs or latency are told; left out, the mean of the training rows."""
    threads: PositiveInt | None = None
    """Threads that latency is measured with; left out, all physical cores."""


class PruneStage(Section):
    """Remove parts of the student, then recover by distillation."""

    kind: Literal["prune"]
    name: Name = "prune"
    """The stage's name."""
    method: Literal["taylor", "fisher", "l1", "movement", "depth", "vocabulary"] = "taylor"
    """``fisher``, ``taylor``, ``l1``, ``movement``: heads and neurons; ``depth``: whole layers;
    ``vocabulary``: pieces that the training texts do not need."""
    heads: Share | None = None
    """Share of the attention heads removed, rounded to whole heads; left out, 0.33, or none where
    ``hidden`` is given."""
    ffn: Share | None = None
    """Share of the feed-forward neurons removed; left out, 0.5, or none where ``hidden`` is given.
    """
    hidden: Part | None = None
    """Share of the hidden width removed in every layer, to a multiple of 8; left out, none."""
    budget: Budget | None = None
    """What may be left, in place of ``heads`` and ``ffn``; the split between them is found."""
    uniform: StrictBool | None = None
    """Leave every layer the same size; left out, true with shares and false with a budget."""
    samples: PositiveInt | None = None
    """``fisher``: examples whose gradients are taken; left out, 2048."""
    score_steps: PositiveInt | None = None
    """Batches over which ``taylor`` and ``depth`` judge (left out, 50), and on which ``movement``
    trains (left out, all of the training rows once)."""
    batch_size: PositiveInt = 32
    """Examples in each of them."""
    reconstruct: Literal["none", "scale", "weights"] | None = None
    """Least-squares repair of what is left: one factor for each unit, or all weights behind the
    units; left out, ``weights`` for ``fisher`` and none for the others."""
    schedule: Literal["one-shot", "linear", "agp"] = "one-shot"
    """All at once, or in rounds with recovery in between: even ones, or most of it early."""
    steps: PositiveInt | None = None
    """Rounds of a schedule; left out, 4."""
    layers: PositiveInt | None = None
    """``depth``: how many layers are removed, those first without which the loss rises least."""
    keep: Annotated[list[PositiveInt], Field(min_length=1)] | None = None
    """``depth``: which layers are kept, counted from 1, in place of ``layers``."""
    min_count: PositiveInt | None = None
    """``vocabulary``: pieces that the training texts have less often go too, and their words are
    spelled with shorter ones; left out, 1."""
    recover: TrainConfig | None = TrainConfig(epochs=1)
    """Distillation of the logits after surgery; ``null`` leaves it out. ``vocabulary`` needs
    none."""
    augmented: StrictBool = True
    """Recover on the rows of an augment stage before it too, where there is one."""
    max_drop: Annotated[float, Field(ge=0, le=1)] | None = None
    """Largest loss of score (absolute) against the student before; where more is lost, half as
    much is removed. Left out, whatever comes is taken."""
    tries: PositiveInt | None = None
    """How often ``max_drop`` may be tried, each time with half as much; left out, 3."""

    @property
    def by_units(self) -> bool:
        """Whether heads and neurons are removed."""
        return self.method in UNIT_METHODS

    @property
    def shares(self) -> tuple[float, float]:
        """The shares of heads and of neurons that are removed, where there is no budget."""
        if not self.by_units or self.budget is not None:
            return 0.0, 0.0
        heads, ffn = (HEADS, FFN) if self.hidden is None else (0.0, 0.0)
        return heads if self.heads is None else self.heads, ffn if self.ffn is None else self.ffn

    @property
    def even(self) -> bool:
        """Whether every layer is left the same size."""
        return self.budget is None if self.uniform is None else self.uniform

    @property
    def removes_units(self) -> bool:
        """Whether heads or neurons are removed, and not the hidden width alone."""
        return self.by_units and (self.budget is not None or any(self.shares))

    @property
    def removes_heads(self) -> bool:
        """Whether layers may be left with fewer heads than the teacher has."""
        return self.by_units and (self.budget is not None or self.shares[0] > 0)

    @property
    def repair(self) -> Literal["none", "scale", "weights"]:
        """How the layers behind the units are fitted again."""
        if self.reconstruct is None:
            return "weights" if self.method == "fisher" else "none"
        return self.reconstruct

    @property
    def recovery(self) -> TrainConfig | None:
        """The training after surgery; what ``vocabulary`` leaves computes as before."""
        return None if self.method == "vocabulary" else self.recover

    @property
    def rounds(self) -> int:
        """In how many rounds units are removed."""
        return 1 if self.schedule == "one-shot" else self.steps or ROUNDS
