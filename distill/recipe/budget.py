"""From a recipe and limits to the study that looks for the best model within them.

Of every depth and width that the recipe can have, the candidate is the one with as many
feed-forward neurons as the limits allow; what another of them exceeds in depth, width and neurons
is left out; of the rest those with most multiply-accumulates are tried. The recipe as it is, where
it keeps the limits, and a static student, where the task allows it, are candidates too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distill.recipe.catalog import find
from distill.recipe.loader import load_recipe, resolved
from distill.recipe.model_shapes import TeacherShape, teacher_shape
from distill.recipe.plan import plan_stages
from distill.recipe.schema import DistillStage, EncoderStudent, EvaluateStage, Limits, Recipe
from distill.recipe.shapes import EXAMPLE_LENGTH, Shape, StaticShape, shapes_by_stage
from distill.recipe.sizes import Size, resolve_size
from distill.system.errors import RecipeError, UserError

_WIDTHS = (128, 256, 312, 384, 512, 768)
_MOST_WIDTHS = 5
_STEP = 16  # neurons
#: Predictions are this near; and a model that proves too slow is followed by these.
_MARGIN, _NARROWER = 0.97, (0.88, 0.78)
_STATIC_DIM = 256
#: A table needs a far higher rate than layers (recipes/static.yaml).
_STATIC_TRAINING = {"epochs": 6, "lr": 3e-3, "batch_size": 64}

Predict = Callable[[Shape | StaticShape], Limits]


@dataclass(frozen=True)
class Kind:
    """Students of one depth and width.

    Args:
        name: ``3x384``.
        shape: what is left of one at the end of the recipe, with all its neurons.
        whole: its neurons before pruning.
        heads: its heads before pruning.
        pruned: the stage whose share of neurons is chosen; ``None``: the size's neurons are.
    """

    name: str
    shape: Shape
    whole: int
    heads: int
    pruned: str | None

    @property
    def fewest(self) -> int:
        """Fewer neurons are not tried."""
        return min(self.most, max(_STEP, self.shape.hidden // 2 // _STEP * _STEP))

    @property
    def most(self) -> int:
        """As many as it can have at the end: a prune stage takes some."""
        return self.whole if self.pruned is None else max(1, self.whole - max(1, self.whole // 50))

    def at(self, neurons: int) -> Shape:
        """The final shape with so many neurons."""
        return replace(self.shape, ffn=neurons)

    def settings(self, neurons: int) -> dict[str, Any]:
        """What makes a recipe have it."""
        if self.pruned is None:
            return {"student.size": f"{self.name}/{self.heads}/{neurons}"}
        share = round(1 - neurons / self.whole, 5)
        size = f"{self.name}/{self.heads}/{self.whole}"
        return {"student.size": size, f"stages.{self.pruned}.ffn": share}


class Choices:
    """What a recipe's student could be.

    Args:
        source: the recipe's name or path.
        overrides: settings of every trial.

    Raises:
        RecipeError: the recipe cannot be read.
        UserError: it has no evaluation, no distillation, or no size of its student.
    """

    def __init__(self, source: str, overrides: Sequence[str]) -> None:
        self.source, self.overrides = source, overrides
        self.recipe = load_recipe(source, *overrides)
        if not isinstance(self.recipe.stages[-1], EvaluateStage):
            raise UserError("a budget is measured by the evaluation; end the recipe with one: "
                            "evaluate")  # fmt: skip
        trained = [stage for stage in self.recipe.stages if isinstance(stage, DistillStage)]
        if not trained or not isinstance(self.recipe.student, EncoderStudent):
            raise UserError("a budget needs a student with a size and a stage that distils into it")
        found = teacher_shape(self.recipe.source.model)
        if found is None:
            raise UserError(
                f"{self.recipe.source.model}: its shape is not known here; load it once with "
                "transformers, or name a folder"
            )
        self.last, self.teacher = trained[-1], found
        self.own = self._final(self.recipe)
        self.kinds = self._kinds(self.recipe.student, found)
        self.static = self._static()

    def shapes(self) -> list[Shape | StaticShape]:
        """What has to be measured: the recipe's own, both ends of every kind, the static one."""
        ends = [kind.at(count) for kind in self.kinds for count in (kind.fewest, kind.most)]
        static = [] if self.static is None else [self.static[1]]
        return [*self.own, *ends, *static]

    def _final(self, recipe: Recipe) -> list[Shape | StaticShape]:
        """The student's shape at a recipe's end."""
        teacher = Shape.of_teacher(self.teacher, len(recipe.task.labels or "??"))
        return shapes_by_stage(plan_stages(recipe), teacher, recipe)[-1:]

    def _kinds(self, student: EncoderStudent, teacher: TeacherShape) -> list[Kind]:
        """Every depth and width that the recipe can have."""
        own = resolve_size(student.size, head_dim_of=(teacher.hidden, teacher.heads))
        widths = {width for width in _WIDTHS if width <= teacher.hidden}
        tried = sorted(widths | {own.hidden, min(own.hidden, teacher.hidden)})[-_MOST_WIDTHS:]
        pruned = next((s.name for s in reversed(self.recipe.stages) if _prunes_shares(s)), None)
        kinds = [
            kind
            for width in tried
            for layers in range(1, max(own.layers, teacher.layers) + 1)
            if (kind := self._kind(layers, width, own, pruned)) is not None
        ]
        return list({kind.name: kind for kind in kinds}.values())

    def _kind(self, layers: int, width: int, own: Size, pruned: str | None) -> Kind | None:
        """A depth and width, or nearly: attention may need as many heads as the teacher has."""
        teacher = self.teacher
        for wide in dict.fromkeys((width, width - width % teacher.heads)):
            size = resolve_size(f"{layers}x{wide}", head_dim_of=(teacher.hidden, teacher.heads))
            heads = own.heads if wide == own.hidden else size.heads
            whole = min(own.ffn if wide == own.hidden else size.ffn, teacher.ffn)
            override = f"student.size={size.name}/{heads}/{whole}"
            try:
                recipe = load_recipe(self.source, *self.overrides, override)
            except RecipeError:
                continue  # a layer map, or a start, that it cannot have
            (shape,) = self._final(recipe)
            if isinstance(shape, Shape):
                return Kind(size.name, shape, whole, heads, pruned)
        return None

    def _static(self) -> tuple[dict[str, Any], StaticShape] | None:
        """Settings and shape of a static student; ``None`` where the task does not allow one."""
        plain = resolved(self.recipe)["stages"]
        learned = next(one for one in plain if one["name"] == self.last.name)
        outputs = [one for one in learned["objectives"] if one["kind"] in ("logits", "vector")]
        distilled = {"kind": "distill", "name": self.last.name, "objectives": outputs}
        int8 = [
            {"kind": "quantize", "name": one["name"], "method": "table", "max_drop": 1.0}
            for one in plain
            if one["kind"] == "quantize"
        ]
        exports = [{"kind": "export", "name": o["name"]} for o in plain if o["kind"] == "export"]
        stages = [distilled | _STATIC_TRAINING, *int8[:1], *exports[:1], plain[-1]]
        dim = min(_STATIC_DIM, self.teacher.hidden)
        settings = {"student": {"kind": "static", "dim": dim}, "stages": stages}
        written = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
        try:
            (shape,) = self._final(load_recipe(self.source, *self.overrides, *written))
        except RecipeError:
            return None
        return (settings, shape) if isinstance(shape, StaticShape) and exports else None

    def candidates(
        self, limits: Sequence[Limits], predict: Predict, *, most: int
    ) -> dict[str, dict[str, Any]]:
        """Candidates of a study, by name, for each of the limits.

        Raises:
            UserError: nothing keeps the tightest of the limits.
        """
        found: dict[str, dict[str, Any]] = {}
        several = len(limits) > 1
        for limit in limits:
            fitting = self._within(limit, predict, most)
            if not fitting:
                raise UserError(self._nothing(limit, predict))
            for name, one in fitting.items():
                known = found.setdefault(name, one)
                known["reserve"] = known["reserve"] and one["reserve"]
                if several:
                    known["targets"] = [*known.get("targets", []), limit.latency_ms]
        return {
            name: {key: value for key, value in one.items() if value is not False}
            for name, one in found.items()
        }

    def _within(self, limit: Limits, predict: Predict, most: int) -> dict[str, dict[str, Any]]:
        """What is tried for one budget."""

        def widest(kind: Kind, part: float) -> int | None:
            counts = range(kind.most, kind.fewest - 1, -_STEP)
            return next((n for n in counts if _keeps(predict(kind.at(n)), limit, part)), None)

        found: dict[str, dict[str, Any]] = {}
        fitting = [(kind, n) for kind in self.kinds if (n := widest(kind, _MARGIN)) is not None]
        best = [one for one in fitting if not any(_exceeds(other, one) for other in fitting)]
        best.sort(key=lambda one: one[0].at(one[1]).macs(EXAMPLE_LENGTH), reverse=True)
        if _keeps(own := predict(self.own[0]), limit, 1.0):
            found["recipe"] = _candidate({}, own, "recipe")
            best = [one for one in best if one[0].at(one[1]) != self.own[0]]
        static = self.static is not None and _keeps(predict(self.static[1]), limit, 1.0)
        for kind, neurons in best[: max(1, most - len(found) - static)]:
            counts = dict.fromkeys([neurons, *(widest(kind, part) for part in _NARROWER)])
            for count in counts:
                if count is None:
                    continue
                told = predict(kind.at(count))
                one = _candidate(kind.settings(count), told, kind.name)
                found[f"{kind.name}-{count}"] = one | {"reserve": count != neurons}
        if static and self.static is not None:  # last: of equal scores the first counts
            settings, shape = self.static
            found["static"] = _candidate(settings, predict(shape), "static")
        return found

    def _nothing(self, limit: Limits, predict: Predict) -> str:
        """How near the smallest comes, and what is in the way."""
        ends = {f"{kind.name}-{kind.fewest}": kind.at(kind.fewest) for kind in self.kinds}
        told = {name: predict(shape) for name, shape in ends.items()}
        if self.static is not None:
            told["static"] = predict(self.static[1])

        def missed(one: Limits) -> dict[str, float]:
            asked = limit.model_dump(exclude_none=True, exclude={"retention"})
            ratios = {key: getattr(one, key) / value for key, value in asked.items()}
            return {k: 1 / r if k == "throughput" else r for k, r in ratios.items()}

        name = min(told, key=lambda key: max(missed(told[key]).values()))
        missing = [
            f"{key} {getattr(told[name], key):.3g} (limit {getattr(limit, key):g})"
            for key, ratio in missed(told[name]).items()
            if ratio > _MARGIN
        ]
        return (
            f"no student of this recipe keeps {' and '.join(describe(limit))}; {name} comes "
            f"nearest: {', '.join(missing)}, predicted from an untrained one"
        )


def _prunes_shares(stage: Any) -> bool:
    by_shares = "ffn" in type(stage).model_fields and getattr(stage, "budget", None) is None
    return by_shares and not getattr(stage, "hidden", None)


def _candidate(settings: dict[str, Any], predicted: Limits, shape: str) -> dict[str, Any]:
    told = predicted.model_dump(exclude_none=True)
    return {"set": settings, "shape": shape, "predicted": told, "reserve": False}


def _keeps(told: Limits, limit: Limits, part: float) -> bool:
    """Whether a prediction keeps a part of the limits of speed, and the size."""
    return (
        (told.latency_ms or 0.0) <= part * (limit.latency_ms or float("inf"))
        and (told.throughput or 0.0) * part >= (limit.throughput or 0.0)
        and (told.size_mb or 0.0) <= (limit.size_mb or float("inf"))
    )


def _exceeds(other: tuple[Kind, int], one: tuple[Kind, int]) -> bool:
    """Whether one model is as deep, wide and full as another, and more in something."""
    a, b = other[0].at(other[1]), one[0].at(one[1])
    return (a.layers, a.hidden, a.ffn) != (b.layers, b.hidden, b.ffn) and (
        a.layers >= b.layers and a.hidden >= b.hidden and a.ffn >= b.ffn
    )


def budget_study(
    choices: Choices, limits: Limits, candidates: dict[str, Any], *,
    ladder: Sequence[float], minutes: float | None, variants: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """A study file that searches candidates by halving.

    Args:
        choices: the recipe's.
        limits: what the final model must keep.
        candidates: see :meth:`Choices.candidates`.
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
        "description": f"The best of {recipe.name} within {', '.join(describe(limits))}",
        "recipe": str(find(choices.source).resolve()),
        **({"variants": fixed} if fixed else {}),
        "search": {key: value for key, value in search.items() if value not in (None, [])},
    }


def describe(limits: Limits) -> list[str]:
    """Limits in words: ``at most 1 ms``, ``at most 6 MB``."""
    words = {
        "latency_ms": "at most {:g} ms",
        "size_mb": "at most {:g} MB",
        "throughput": "at least {:g} examples/s",
        "retention": "at least {:.1%} of the teacher",
    }
    given = limits.model_dump(exclude_none=True)
    return [text.format(given[name]) for name, text in words.items() if name in given]
