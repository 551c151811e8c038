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
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from distill.recipe.catalog import find
from distill.recipe.choices import STEP, Choices, Kind, Settings, trim_stage
from distill.recipe.schema import Limits
from distill.recipe.shapes import EXAMPLE_LENGTH, Shape, StaticShape
from distill.system.errors import UserError

#: Predictions are this near; and a model that proves too slow is followed by these.
_MARGIN, _NARROWER = 0.97, (0.88, 0.78)


class Predict(Protocol):
    """Tells what students take and weigh."""

    def __call__(self, shape: Shape | StaticShape, trim: int = 0) -> Limits:
        """Of a shape, without subwords that are rarer than ``trim``."""


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
        told = limit.model_copy(update={"retention": None})
        fitting = _within(choices, told, predict, most)
        if not fitting:
            raise UserError(_nothing(choices, told, predict))
        for name, one in fitting.items():
            known = found.setdefault(name, one)
            known["reserve"] = known["reserve"] and one["reserve"]
            if len(limits) > 1:
                known["targets"] = [*known.get("targets", []), limit.latency_ms]
    return {
        name: {key: value for key, value in one.items() if value is not False}
        for name, one in found.items()
    }


def _within(choices: Choices, limit: Limits, predict: Predict, most: int) -> dict[str, Settings]:
    """What is tried for one budget."""
    found: dict[str, Settings] = {}
    fitting = [
        one
        for kind in choices.kinds
        if (one := _fit(choices, kind, limit, predict) or _factored(choices, kind, limit, predict))
    ]
    best = [one for one in fitting if not any(other.exceeds(one) for other in fitting)]
    best.sort(key=lambda one: one.macs, reverse=True)
    if _keeps(own := predict(choices.own), limit):
        found["recipe"] = _candidate(choices.base, own, "recipe")
        best = [one for one in best if one.shape != choices.own]
    static = _fitting_static(choices, limit, predict)
    room = max(1, most - len(found) - len(static))
    varied = (other for one in best for other in _variations(choices, one, limit, predict))
    others = [*itertools.islice(varied, max(room // 3, room - len(best)))]
    for one in [*best[: room - len(others)], *others]:
        narrower = [_fit(choices, one.kind, limit, predict, part) for part in _NARROWER]
        for less in {fit.name: fit for fit in [*filter(None, narrower), one]}.values():
            told = predict(less.shape, less.trim)
            settings = choices.base | less.kind.settings(less.neurons)
            settings |= choices.trimmed(less.trim, less.kind)
            settings = _candidate(settings, told, one.kind.name)
            found.setdefault(less.name, settings | {"reserve": less != one})
    return found | static  # the static one last: of equal scores the first counts


def _fit(
    choices: Choices, kind: Kind, limit: Limits, predict: Predict, part: float = _MARGIN
) -> _Fit | None:
    """As many neurons as the speed allows, or the size where all trimming does not do."""
    speed = limit.model_copy(update={"size_mb": None})
    counts = range(kind.most, kind.fewest - 1, -STEP)
    fast = next((n for n in counts if _keeps(predict(kind.at(n)), speed, part)), None)
    best = None
    for trim in choices.trims if fast is not None else ():
        small = (n for n in counts if fast is not None and n <= fast)
        count = next((n for n in small if _keeps(predict(kind.at(n), trim), limit, part)), None)
        if count is not None and (best is None or count > best.neurons):
            best = _Fit(kind, count, trim)
        if count == fast:
            break
    return best


def _factored(
    choices: Choices, kind: Kind, limit: Limits, predict: Predict, over: _Fit | None = None
) -> _Fit | None:
    """A kind with a factored table, where the size is limited and leaves more neurons so."""
    if limit.size_mb is None:
        return None
    fits = [one for k in choices.factored(kind) if (one := _fit(choices, k, limit, predict))]
    best = max(fits, key=lambda one: (one.neurons, one.shape.words), default=None)
    return best if best and (over is None or best.neurons > over.neurons) else None


def _variations(choices: Choices, one: _Fit, limit: Limits, predict: Predict) -> Iterator[_Fit]:
    """What else keeps the limits: a factored table, other heads, other layers to begin with."""
    if factored := _factored(choices, one.kind, limit, predict, over=one):
        yield factored
    for kind in choices.variations(one.kind):
        if fit := _fit(choices, kind, limit, predict):
            yield fit


def _fitting_static(choices: Choices, limit: Limits, predict: Predict) -> dict[str, Settings]:
    """The static student, its vocabulary trimmed as far as it must be."""
    if choices.static is None:
        return {}
    settings, shape = choices.static
    for trim in choices.trims:
        told = predict(shape, trim)
        if _keeps(told, limit):
            first, *rest = settings["stages"]
            stages = [first, *([trim_stage(trim)] if trim else []), *rest]
            name = f"static-v{trim}" if trim else "static"
            return {name: _candidate(settings | {"stages": stages}, told, "static")}
    return {}


def _nothing(choices: Choices, limit: Limits, predict: Predict) -> str:
    """How near the smallest comes, and what is in the way."""
    trim, kinds = choices.trims[-1], [*choices.kinds]
    if limit.size_mb is not None:
        kinds += [factored for kind in choices.kinds for factored in choices.factored(kind)]
    ends = {
        _Fit(kind, kind.fewest, trim).name: predict(kind.at(kind.fewest), trim) for kind in kinds
    }
    if choices.static is not None:
        ends["static"] = predict(choices.static[1], trim)
    name = min(ends, key=lambda key: max(limit.ratios(ends[key]).values()))
    missed = ", ".join(limit.missed(ends[name])) or f"within it, by less than {1 - _MARGIN:.0%}"
    return (
        f"no student of this recipe keeps {limit.describe()}; {name} comes nearest: {missed}, "
        "predicted from an untrained one"
    )


def _candidate(settings: Settings, predicted: Limits, shape: str) -> Settings:
    told = predicted.model_dump(exclude_none=True)
    return {"set": settings, "shape": shape, "predicted": told, "reserve": False}


def _keeps(told: Limits, limit: Limits, part: float = 1.0) -> bool:
    """Whether a prediction keeps a part of the limits of speed, and the size."""
    ratios = limit.ratios(told).items()
    return all(ratio <= (1.0 if name == "size_mb" else part) for name, ratio in ratios)


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
