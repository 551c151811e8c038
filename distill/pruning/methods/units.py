"""Methods that remove attention heads and feed-forward neurons: what their sections share.

The work is in :mod:`distill.pruning.units`; a method says what each unit is worth.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, StrictBool

from distill.pruning.methods.base import OnBatches, Part
from distill.section import Issues, PositiveInt, Section, Share

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from distill.pruning.bench import Bench, Pruned
    from distill.pruning.units import Judged
    from distill.pruning.width import Width
    from distill.recipe.schema import Recipe
    from distill.recipe.shapes import Before, Shape

#: What is removed where neither shares nor a budget are given.
HEADS, FFN = 0.33, 0.5
ROUNDS = 4
#: Kernels, and blocks of 4-bit weights, take numbers eight at a time.
_MULTIPLE = 8
_MEASURES = ("macs", "parameters", "latency_ms")
Repair = Literal["none", "scale", "weights"]


class Budget(Section):
    """What the student's encoder may cost afterwards: one of three measures."""

    macs: Part | None = None
    """Share of the encoder's multiply-accumulates that may stay."""
    parameters: Part | None = None
    """Share of the encoder's parameters that may stay; embeddings and head do not count."""
    latency_ms: Annotated[float, Field(gt=0)] | None = None
    """Milliseconds of one text in the int8 ONNX graph on this machine, whole model."""
    length: PositiveInt | None = None
    """Tokens for which MACs or latency are computed; left out, the training examples' mean."""
    threads: PositiveInt | None = None
    """Threads that latency is measured with; left out, all physical cores."""

    def issues(self) -> Issues:
        """What cannot be in this section."""
        given = [key for key in _MEASURES if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            yield (), f"found {found}; give one of: {', '.join(_MEASURES)}"
        if self.parameters is not None and self.length is not None:
            yield ("length",), "parameters do not depend on a length; leave it out"
        if self.latency_ms is None and self.threads is not None:
            yield ("threads",), "only latency_ms is measured; leave it out"


class UnitPrune(OnBatches):
    """Heads and neurons, by shares or within a budget."""

    heads: Share | None = None
    """Share of the attention heads removed, rounded to whole heads; left out, 0.33, or none where
    ``hidden`` is given."""
    ffn: Share | None = None
    """Share of the feed-forward neurons removed; left out, 0.5, or none where ``hidden`` is given.
    """
    budget: Budget | None = None
    """What may be left, in place of ``heads`` and ``ffn``; the split between them is found."""
    uniform: StrictBool | None = None
    """Leave every layer the same size; left out, true with shares and false with a budget."""
    reconstruct: Repair | None = None
    """Least-squares repair of what is left: one factor for each unit, or all weights behind the
    units; left out, ``weights`` for ``fisher`` and none for the others."""

    #: Whether scores only rank units of a kind within a layer, and do not say what a head is worth
    #: in neurons.
    ranks_only: ClassVar[bool] = False
    default_repair: ClassVar[Repair] = "none"

    @property
    def narrows(self) -> bool:
        """Whether the hidden width is cut."""
        return False

    @property
    def shares(self) -> tuple[float, float]:
        """The shares of heads and of neurons that are removed, where there is no budget."""
        if self.budget is not None:
            return 0.0, 0.0
        heads, ffn = (0.0, 0.0) if self.narrows else (HEADS, FFN)
        return heads if self.heads is None else self.heads, ffn if self.ffn is None else self.ffn

    @property
    def even(self) -> bool:
        """Whether every layer is left the same size."""
        return self.budget is None if self.uniform is None else self.uniform

    @property
    def removes_units(self) -> bool:
        """Whether heads or neurons are removed, and not the hidden width alone."""
        return self.budget is not None or any(self.shares)

    @property
    def removes_heads(self) -> bool:
        return self.budget is not None or self.shares[0] > 0

    @property
    def repair(self) -> Repair:
        """How the layers behind the units are fitted again."""
        return self.default_repair if self.reconstruct is None else self.reconstruct

    def shape_left(self, shape: Shape) -> Shape:
        heads, ffn = self.shares
        if self.budget is not None:
            heads = ffn = 1 - (self.budget.macs or self.budget.parameters or 1.0)
        return replace(shape.pruned(heads, ffn), hidden=self.width_left(shape.hidden))

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        yield from super().issues(recipe, before)
        if self.budget is not None:
            for key in ("heads", "ffn"):
                if getattr(self, key) is not None:
                    yield (key,), "a share and a budget cannot both hold; keep one of them"
            if self.narrows:
                yield (
                    ("hidden",),
                    "a budget divides heads and neurons; cut the width in another stage",
                )
            yield from ((("budget", *key), message) for key, message in self.budget.issues())
        elif not self.removes_units and not self.narrows:
            yield (
                ("heads",),
                "nothing would be removed; give a share of heads, ffn or hidden, or a budget",
            )
        if not self.removes_units and self.reconstruct not in (None, "none"):
            yield ("reconstruct",), "fits what stands behind heads and neurons; none are removed"

    def describe(self) -> str:
        rounds = f" in {self.rounds} rounds" if self.rounds > 1 else ""
        budget = self.budget
        if budget is None:
            parts = dict(zip(("heads", "ffn"), self.shares, strict=True))
            parts["the hidden width"] = getattr(self, "hidden", None) or 0.0
            gone = ", ".join(f"{share:.0%} of {name}" for name, share in parts.items() if share)
            return f"{self.method}: remove {gone}{rounds}"
        if budget.latency_ms is not None:
            return f"{self.method}: until int8 takes {budget.latency_ms:g} ms{rounds}"
        what, part = ("MACs", budget.macs) if budget.macs else ("parameters", budget.parameters)
        return f"{self.method}: keep {part:.0%} of the encoder's {what}{rounds}"

    def removes(self, student: PreTrainedModel, ease: float) -> bool:
        width = int(student.config.hidden_size)
        return self.removes_units or self.width_left(width, ease) < width

    def prune(self, student: PreTrainedModel, bench: Bench, ease: float) -> Pruned:
        from distill.pruning.units import prune_units

        return prune_units(self, student, bench, ease)

    @abstractmethod
    def judge(self, student: PreTrainedModel, bench: Bench) -> Judged:
        """What each head and each neuron of a student is worth."""


class InRounds(UnitPrune):
    """A method that can remove in rounds."""

    schedule: Literal["one-shot", "linear", "agp"] = "one-shot"
    """All at once, or in rounds with recovery in between: even ones, or most of it early."""
    steps: PositiveInt | None = None
    """Rounds of a schedule; left out, 4."""

    @property
    def rounds(self) -> int:
        return 1 if self.schedule == "one-shot" else self.steps or ROUNDS

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        yield from super().issues(recipe, before)
        if self.schedule == "one-shot" and self.steps is not None:
            yield ("steps",), "are the rounds of a schedule; write schedule: linear or agp"
        if self.schedule != "one-shot" and self.recover is None:
            yield ("recover",), "a schedule recovers between its rounds; give `recover` settings"


class WithWidth(InRounds):
    """A method that judges hidden dimensions too."""

    hidden: Part | None = None
    """Share of the hidden width removed in every layer, to a multiple of 8; left out, none."""

    @property
    @abstractmethod
    def judged_on(self) -> int:
        """Examples that dimensions are judged on; fewer where there are fewer."""

    @property
    def narrows(self) -> bool:
        return self.hidden is not None

    def judge_width(self, student: PreTrainedModel, bench: Bench) -> Width:
        """What each hidden dimension is worth."""
        from distill.pruning.width import width_scores

        return width_scores(
            student,
            loss_of=bench.loss_of,
            batches=bench.batches(self.batch_size),
            samples=min(self.judged_on, bench.rows),
        )

    def width_left(self, width: int, part: float = 1.0) -> int:
        return width_left(width, part * (self.hidden or 0.0))


def width_left(width: int, share: float) -> int:
    """How much of a hidden width stays when a share goes: a multiple of 8 where the width is one.

    Example:
        >>> width_left(384, 0.2)
        304
    """
    step = math.gcd(width, _MULTIPLE)
    return min(width, max(step, step * round(width * (1.0 - share) / step)))
