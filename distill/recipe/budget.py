"""From a recipe and limits to the study that looks for the best model within them.

Of every depth and width that the recipe can have, the candidate is the one with as many
feed-forward neurons as the limits of speed allow, and with as much of the vocabulary as the size
allows; where that costs neurons or does not do, the table of word embeddings may be factored too.
What another of them exceeds in depth, width and multiply-accumulates is left out; of the
rest those with most multiply-accumulates are tried, the first of them also with other heads and
other initial layers. The recipe as it is, where it keeps the limits, and a static student, where
the task allows it, are candidates too.

Precision and engine change no training: every candidate is exported in fp32 and int8, for the
faster engine too, and the most accurate format that keeps the limits is its final model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from distill.recipe.catalog import find
from distill.recipe.choices import STEP, Choices, Kind, Settings, trim_stage
from distill.recipe.schema import Limits
from distill.recipe.shapes import EXAMPLE_LENGTH, Shape, StaticShape
from distill.system.errors import UserError

#: Predictions are this near; and a model that proves too slow is followed by these.
_MARGIN, _NARROWER = 0.97, (0.88, 0.78)


#: What a student of a shape takes and weighs, without subwords that are rarer than a number.
Predict = Callable[[Shape | StaticShape, int], Limits]


class _Fit(NamedTuple):
    """What of a kind keeps limits: its neurons, and how far the vocabulary is trimmed."""

    kind: Kind
    neurons: int
    trim: int

    @property
    def shape(self) -> Shape:
        return self.kind.at(self.neurons)

    @property
    def name(self) -> str:
        trimmed = f"-v{self.trim}" if self.trim else ""
        return f"{self.kind.name}-{self.neurons}{trimmed}"

    @property
    def macs(self) -> float:
        return self.shape.macs(EXAMPLE_LENGTH)

    def exceeds(self, other: _Fit) -> bool:
        """Whether it is as deep and wide as another, computes as much, and more in something."""
        ours, theirs = (
            (one.shape.layers, one.shape.hidden, one.shape.words, one.macs, -one.trim)
            for one in (self, other)
        )
        return ours != theirs and all(a >= b for a, b in zip(ours, theirs, strict=True))


def candidates(
    choices: Choices, limits: Sequence[Limits], predict: Predict, *, most: int
) -> dict[str, Settings]:
    """Candidates of a study, by name, for each of the limits.

    Args:
        choices: what the student could be.
        limits: each gets candidates of its own.
        predict: what a student takes and weighs.
        most: candidates for each of the limits, without smaller ones in their place.

    Raises:
        UserError: nothing keeps the tightest of the limits.
    """
    found: dict[str, Settings] = {}
    for limit in limits:
        budget = _Budget(choices, limit.model_copy(update={"retention": None}), predict)
        fitting = budget.candidates(most)
        if not fitting:
            raise UserError(budget.nearest())
        for name, one in fitting.items():
            known = found.setdefault(name, one)
            known["reserve"] = known["reserve"] and one["reserve"]
            if len(limits) > 1:
                known["targets"] = [*known.get("targets", []), limit.latency_ms]
    return {
        name: {key: value for key, value in one.items() if value is not False}
        for name, one in found.items()
    }


@dataclass(frozen=True)
class _Budget:
    """What keeps one budget."""

    choices: Choices
    limit: Limits
    predict: Predict

    def candidates(self, most: int) -> dict[str, Settings]:
        """What is tried."""
        choices = self.choices
        found: dict[str, Settings] = {}
        fits = (self._fit(kind) or self._factored(kind) for kind in choices.kinds)
        fitting = [one for one in fits if one is not None]
        best = [one for one in fitting if not any(other.exceeds(one) for other in fitting)]
        best.sort(key=lambda one: one.macs, reverse=True)
        if self._keeps(own := self.predict(choices.own, 0)):
            found["recipe"] = _candidate(choices.base, own, "recipe")
            best = [one for one in best if one.shape != choices.own]
        static = self._static()
        room = max(1, most - len(found) - len(static))
        varied = (other for one in best for other in self._variations(one))
        others = [*itertools.islice(varied, max(room // 3, room - len(best)))]
        for one in [*best[: room - len(others)], *others]:
            narrower = [self._fit(one.kind, part) for part in _NARROWER]
            for less in {fit.name: fit for fit in [*filter(None, narrower), one]}.values():
                told = self.predict(less.shape, less.trim)
                settings = choices.base | less.kind.settings(less.neurons)
                settings |= choices.trimmed(less.trim, less.kind)
                settings = _candidate(settings, told, one.kind.name)
                found.setdefault(less.name, settings | {"reserve": less != one})
        return found | static  # the static one last: of equal scores the first counts

    def nearest(self) -> str:
        """How near the smallest comes, and what is in the way."""
        choices, limit = self.choices, self.limit
        trim, kinds = choices.trims[-1], [*choices.kinds]
        if limit.size_mb is not None:
            kinds += [factored for kind in choices.kinds for factored in choices.factored(kind)]
        smallest = [_Fit(kind, kind.fewest, trim) for kind in kinds]
        ends = {one.name: self.predict(one.shape, trim) for one in smallest}
        if choices.static is not None:
            ends["static"] = self.predict(choices.static[1], trim)
        name = min(ends, key=lambda key: max(limit.ratios(ends[key]).values()))
        missed = ", ".join(limit.missed(ends[name])) or f"within it, by less than {1 - _MARGIN:.0%}"
        return (
            f"no student of this recipe keeps {limit.describe()}; {name} comes nearest: {missed}, "
            "predicted from an untrained one"
        )

    def _keeps(self, told: Limits, part: float = 1.0, *, size: bool = True) -> bool:
        """Whether a prediction keeps a part of the limits of speed, and the size."""
        ratios = self.limit.ratios(told)
        allowed = {"size_mb": 1.0 if size else math.inf}
        return all(ratio <= allowed.get(name, part) for name, ratio in ratios.items())

    def _fit(self, kind: Kind, part: float = _MARGIN) -> _Fit | None:
        """As many neurons as the speed allows, or the size where all trimming does not do."""
        counts = range(kind.most, kind.fewest - 1, -STEP)
        fast = (n for n in counts if self._keeps(self.predict(kind.at(n), 0), part, size=False))
        most, best = next(fast, None), None
        for trim in self.choices.trims if most is not None else ():
            small = (n for n in counts if most is not None and n <= most)
            fits = (n for n in small if self._keeps(self.predict(kind.at(n), trim), part))
            count = next(fits, None)
            if count is not None and (best is None or count > best.neurons):
                best = _Fit(kind, count, trim)
            if count == most:
                break
        return best

    def _factored(self, kind: Kind, over: int = 0) -> _Fit | None:
        """A kind with a factored table, where the size is limited and leaves more neurons so."""
        if self.limit.size_mb is None:
            return None
        fits = [one for k in self.choices.factored(kind) if (one := self._fit(k))]
        best = max(fits, key=lambda one: (one.neurons, one.shape.words), default=None)
        return best if best and best.neurons > over else None

    def _variations(self, one: _Fit) -> Iterator[_Fit]:
        """What else keeps the limits: a factored table, other heads, other layers to begin with."""
        if factored := self._factored(one.kind, over=one.neurons):
            yield factored
        yield from filter(None, map(self._fit, self.choices.variations(one.kind)))

    def _static(self) -> dict[str, Settings]:
        """The static student, its vocabulary trimmed as far as it must be."""
        if self.choices.static is None:
            return {}
        settings, shape = self.choices.static
        for trim in self.choices.trims:
            told = self.predict(shape, trim)
            if self._keeps(told):
                first, *rest = settings["stages"]
                stages = [first, *([trim_stage(trim)] if trim else []), *rest]
                name = f"static-v{trim}" if trim else "static"
                return {name: _candidate(settings | {"stages": stages}, told, "static")}
        return {}


def _candidate(settings: Settings, predicted: Limits, shape: str) -> Settings:
    told = predicted.model_dump(exclude_none=True)
    return {"set": settings, "shape": shape, "predicted": told, "reserve": False}


def budget_study(
    choices: Choices, limits: Limits, candidates: dict[str, Any], *,
    ladder: Sequence[float], minutes: float | None, variants: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """A study file that searches candidates by halving.

    Args:
        choices: the recipe's.
        limits: what the final model must keep.
        candidates: see :func:`candidates`.
        ladder: latencies that get a model each; may be empty.
        minutes: time for all trials.
        variants: sizes that are trained as they are, for comparison; ``recipe`` is its own.
    """
    recipe, last = choices.recipe, choices.recipe.stages[-1]
    fixed: dict[str, Any] = {}
    for size in variants:
        own = {"title": f"{recipe.name} as it is"} if size == "recipe" else {
            "set": {"student.size": size}, "title": f"{size}, as the recipe trains it"}  # fmt: skip
        fixed[f"fixed-{size.replace('/', '-')}"] = own | {"stage": last.name}
    tried = sum(not one.get("reserve") for one in candidates.values())
    within = limits.describe()
    if ladder:
        within += f", and for {', '.join(f'{one:g}' for one in ladder[:-1])} ms each"
    search = {
        "strategy": "halving",
        "trials": tried,
        "stage": last.name,
        "limits": limits.model_dump(exclude_none=True),
        "ladder": list(ladder),
        "rungs": [0.1111, 0.3333, 1.0] if tried > 3 else [0.3333, 1.0] if tried > 1 else [1.0],
        "minutes": minutes,
        "candidates": candidates,
    }
    return {
        "study": 1,
        "name": f"budget-{recipe.name}",
        "description": f"The best of {recipe.name} within {within}",
        "recipe": str(find(choices.source).resolve()),
        **({"variants": fixed} if fixed else {}),
        "search": {key: value for key, value in search.items() if value not in (None, [])},
    }
