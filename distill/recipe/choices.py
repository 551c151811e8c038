"""What a recipe's student could be: depth, width, heads, initial layers, tables of words, static.

Each is a set of settings that the recipe can have; what it cannot is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from distill.recipe.loader import load_recipe, resolved
from distill.recipe.model_shapes import teacher_shape
from distill.recipe.plan import plan_stages
from distill.recipe.schema import (
    DistillStage,
    EncoderStudent,
    EvaluateStage,
    ExportStage,
    PruneStage,
    Recipe,
)
from distill.recipe.shapes import Shape, StaticShape, shapes_by_stage
from distill.recipe.sizes import Size, resolve_size
from distill.system.errors import RecipeError, UserError

_WIDTHS = (128, 256, 312, 384, 512, 768)
_MOST_WIDTHS = 5
STEP = 16  # neurons
_STATIC_DIM = 256
#: A table needs a far higher rate than layers (recipes/static.yaml).
_STATIC_TRAINING = {"epochs": 6, "lr": 3e-3, "batch_size": 64}
#: Subwords that the training texts have less often go, where the size asks for it.
_TRIMS = (1, 2, 3, 5)
#: By so much narrower the table of word embeddings may be, where the size asks for it.
_PARTS = (2, 3, 4)
#: Kernels take numbers eight at a time.
_MULTIPLE = 8
#: The stage that factors the table.
_FACTORED = "embeddings"

Engine = Literal["onnx", "openvino"]
Settings = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """Students of one depth and width."""

    name: str  # ``3x384``
    shape: Shape  # what is left of one at the end of the recipe, with all its neurons
    size: str  # its size before pruning, without the neurons
    whole: int  # its neurons before pruning
    # the stage whose share of neurons is chosen; ``None``: the size's neurons are
    pruned: str | None
    more: Settings = field(default_factory=dict)  # further settings

    @property
    def fewest(self) -> int:
        """Fewer neurons are not tried."""
        return min(self.most, max(STEP, self.shape.hidden // 2 // STEP * STEP))

    @property
    def most(self) -> int:
        """As many as it can have at the end: a prune stage takes some."""
        return self.whole if self.pruned is None else max(1, self.whole - max(1, self.whole // 50))

    def at(self, neurons: int) -> Shape:
        return replace(self.shape, ffn=neurons)

    def settings(self, neurons: int) -> Settings:
        left = self.whole if self.pruned is not None else neurons
        found = {"student.size": f"{self.size}/{left}", **self.more}
        if self.pruned is not None:
            found[f"stages.{self.pruned}.ffn"] = round(1 - neurons / self.whole, 5)
        return found


class Choices:
    """What a recipe's student could be.

    Raises:
        RecipeError: the recipe cannot be read.
        UserError: it has no evaluation, no distillation, or no size of its student.
    """

    def __init__(self, source: str, overrides: Sequence[str]) -> None:
        self.source, self.overrides = source, overrides
        self.base: Settings = {}
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
        self.last, self.teacher, self.student = trained[-1], found, self.recipe.student
        self._add_int8()
        self.own = self._final(self.recipe)
        self.pruned = next((s.name for s in reversed(self.recipe.stages) if _cuts(s)), None)
        self.where_to_trim = self._where_to_trim()
        self.kinds = self._kinds()
        self.static = self._static()

    def shapes(self) -> list[Shape | StaticShape]:
        """What has to be measured: the recipe's own, both ends of every kind, the static one."""
        ends = [kind.at(count) for kind in self.kinds for count in (kind.fewest, kind.most)]
        static = [] if self.static is None else [self.static[1]]
        return [self.own, *ends, *static]

    def serve_by(self, engine: Engine) -> None:
        """Have every candidate exported for an engine too."""
        export = self._export
        if export is not None and not export.exports(engine):
            formats = f"stages.{export.name}.formats"
            self._add({formats: [*export.formats, engine]})

    def _add_int8(self) -> None:
        """Have every candidate quantised too, where the recipe does not and can."""
        export = self._export
        if export is not None and not any(one.kind == "quantize" for one in self.recipe.stages):
            self._add({f"stages.+{export.name}": {"kind": "quantize"}})

    def _add(self, settings: Settings) -> None:
        found = self._load(settings)
        if found is not None:
            self.base, self.recipe = self.base | settings, found

    @property
    def _export(self) -> ExportStage | None:
        return next((one for one in self.recipe.stages if isinstance(one, ExportStage)), None)

    def _load(self, settings: Mapping[str, Any]) -> Recipe | None:
        """The recipe with these settings; ``None`` where it cannot have them."""
        every = {**self.base, **settings}
        written = [f"{key}={json.dumps(value)}" for key, value in every.items()]
        try:
            return load_recipe(self.source, *self.overrides, *written)
        except RecipeError:
            return None

    def _final(self, recipe: Recipe) -> Shape | StaticShape:
        """The student's shape at a recipe's end."""
        teacher = Shape.of_teacher(self.teacher, len(recipe.task.labels or "??"))
        return shapes_by_stage(plan_stages(recipe), teacher, recipe)[-1]

    def _where_to_trim(self) -> str | None:
        """The stage before which the vocabulary can be trimmed; ``None`` where it cannot."""
        if any(stage.trims_vocabulary for stage in plan_stages(self.recipe)):
            return None
        return self._first(lambda _: trim_stage(1))

    def _first(self, stage: Callable[[str], Settings], known: str | None = None) -> str | None:
        """The first stage, or the ``known`` one, in front of which the recipe can have another."""
        stages = [s.name for s in self.recipe.stages if s.kind in ("quantize", "export")]
        names = [known] if known else [*([self.pruned] if self.pruned else []), *stages]
        return next((n for n in names if self._load({f"stages.+{n}": stage(n)})), None)

    @property
    def trims(self) -> tuple[int, ...]:
        """Ways to trim the vocabulary, the least first."""
        return (0,) if self.where_to_trim is None else (0, *_TRIMS)

    def _kinds(self) -> list[Kind]:
        teacher = self.teacher
        own = resolve_size(self.student.size, head_dim_of=(teacher.hidden, teacher.heads))
        widths = {width for width in _WIDTHS if width <= teacher.hidden}
        tried = sorted(widths | {own.hidden, min(own.hidden, teacher.hidden)})[-_MOST_WIDTHS:]
        kinds = [
            kind
            for width in tried
            for layers in range(1, max(own.layers, teacher.layers) + 1)
            if (kind := self._kind(layers, width, own)) is not None
        ]
        return list({kind.name: kind for kind in kinds}.values())

    def _kind(self, layers: int, width: int, own: Size) -> Kind | None:
        """A depth and width, or nearly: attention may need as many heads as the teacher has."""
        teacher = self.teacher
        for wide in dict.fromkeys((width, width - width % teacher.heads)):
            size = resolve_size(f"{layers}x{wide}", head_dim_of=(teacher.hidden, teacher.heads))
            heads = own.heads if wide == own.hidden else size.heads
            whole = min(own.ffn if wide == own.hidden else size.ffn, teacher.ffn)
            kind = self._made(size.name, f"{size.name}/{heads}", whole, {})
            if kind is not None:
                return kind
        return None

    def _made(self, name: str, size: str, whole: int, more: Settings) -> Kind | None:
        """A kind; ``None`` where the recipe cannot have it: a layer map, say, or the start."""
        recipe = self._load({"student.size": f"{size}/{whole}", **more})
        shape = None if recipe is None else self._final(recipe)
        if not isinstance(shape, Shape):
            return None
        return Kind(name, shape, size, whole, self.pruned, more)

    def variations(self, kind: Kind) -> Iterator[Kind]:
        """A kind with other heads, and with other layers of the teacher to begin with."""
        name, size, more = kind.name, kind.size, kind.more
        stage = next((s for s in self.recipe.stages if s.name == self.pruned), None)
        if stage is not None:
            share = 0.0 if getattr(stage, "shares", (0.0,))[0] > 0 else 0.5
            more = more | {f"stages.{stage.name}.heads": share}
        else:
            depth, _, heads = size.partition("/")
            size = f"{depth}/{max(1, int(heads) // 2)}"
        found = self._made(name, size, kind.whole, more)
        if found is not None and found.shape != kind.shape:
            yield replace(found, name=f"{name}-h{found.shape.heads}")
        if kind.shape.layers == self.teacher.layers or self.student.init != "teacher-layers":
            return
        for layers in ("uniform", "first", "last") if self.teacher.gives_layers else ():
            if layers != self.student.init_layers:
                first = {"student.init_layers": layers}
                yield replace(kind, name=f"{name}-{layers}", more=kind.more | first)

    def factored(self, kind: Kind) -> Iterator[Kind]:
        """A kind with narrower tables of word embeddings, where the recipe does not factor it."""
        where = self._where_to_factor
        if kind.shape.rank or where is None:
            return
        for part in _PARTS:
            rank = kind.shape.words // part // _MULTIPLE * _MULTIPLE
            if rank:
                more = kind.more | {f"stages.+{where}": self._factor_stage(where, rank)}
                shape = replace(kind.shape, rank=rank)
                yield replace(kind, name=f"{kind.name}-e{rank}", shape=shape, more=more)

    @cached_property
    def _where_to_factor(self) -> str | None:
        """The stage before which the table of word embeddings can be factored, if there is one."""
        return self._first(lambda where: self._factor_stage(where, 1), self.where_to_trim)

    def _factor_stage(self, where: str, rank: int) -> Settings:
        """A stage that factors the table; it recovers as the last training, or the next stage."""
        found: Settings = {"kind": "prune", "name": _FACTORED, "method": "embeddings", "rank": rank}
        behind = next(stage for stage in self.recipe.stages if stage.name == where)
        if isinstance(behind, PruneStage) and behind.recovery is not None:
            return found | {"recover": None}
        kept = ("max_steps", "lr", "batch_size", "dropout")
        training = {key: getattr(self.last, key) for key in kept}
        return found | {"recover": {"epochs": 1, **training}}

    def _static(self) -> tuple[Settings, StaticShape] | None:
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
        recipe = self._load(settings)
        shape = None if recipe is None else self._final(recipe)
        return (settings, shape) if isinstance(shape, StaticShape) and exports else None

    def trimmed(self, trim: int, kind: Kind) -> Settings:
        """Settings that leave the subwords that the training texts have so often; 0: all.

        Where a table is factored too, that is done to what is left of it.
        """
        where = self.where_to_trim
        if kind.shape.rank and f"stages.+{where}" in kind.more:
            where = _FACTORED
        return {f"stages.+{where}": trim_stage(trim)} if trim else {}


def _cuts(stage: Any) -> bool:
    """Whether a stage removes a share of the neurons."""
    by_shares = "ffn" in type(stage).model_fields and getattr(stage, "budget", None) is None
    return by_shares and not getattr(stage, "hidden", None)


def trim_stage(least: int) -> Settings:
    """A stage that leaves the subwords that the training texts have so often."""
    return {"kind": "prune", "name": "vocabulary", "method": "vocabulary", "min_count": least}
