"""The ``distill`` stage: what is matched, layer by layer and token by token, and its rules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StrictBool

from distill.recipe.model_shapes import (
    STUDENTS,
    TEACHERS,
    TeacherShape,
    teaches_signals,
    vocabulary,
)
from distill.recipe.schema.objectives import (
    AttentionObjective,
    LayerPair,
    LogitsObjective,
    Objective,
    RelationsObjective,
    tokenizer_free,
)
from distill.section import Issues, Name, PositiveInt, Section, StageSection, TrainConfig

if TYPE_CHECKING:
    from distill.recipe.schema.recipe import Recipe
    from distill.recipe.shapes import Before, Shape

#: What TinyBERT's published code matches.
REFERENCE = ("embedding", "attention", "hidden", "logits")
LayerMapKind = Literal["uniform", "first", "last", "skip"]


class LayerSearch(Section):
    """Choosing a layer map by a short training with each of several."""

    candidates: (
        Annotated[
            list[LayerMapKind | Annotated[list[LayerPair], Field(min_length=1)]],
            Field(min_length=1),
        ]
        | None
    ) = None
    """Kinds, or lists of [student, teacher]; left out, every kind that fits the two depths."""
    steps: PositiveInt = 100
    """Optimiser steps of each candidate on this stage's objectives, then as many on the logits."""


class DistillStage(TrainConfig, StageSection):
    """Train the student to match the teacher's signals."""

    kind: Literal["distill"]
    name: Name = "distill"
    """The stage's name: its folder, its curves, and the key of overrides."""
    objectives: Annotated[list[Objective], Field(min_length=1)]
    """What is matched; the losses are added up by weight."""
    layer_map: Literal["uniform", "first", "last", "skip", "search"] | list[LayerPair] = "uniform"
    """Which teacher layer each student layer learns from; a list of [student, teacher] from 1;
    ``search`` tries several and takes the one with the best validation score."""
    search: LayerSearch | None = None
    """How ``layer_map: search`` searches; left out, its defaults."""
    mode: Literal["masked", "reference"] = "masked"
    """``masked``: the mean over real tokens; ``reference``: TinyBERT's code, padding included."""
    projection: Literal["shared", "per_layer"] | None = None
    """To the teacher's width: one for all, or each its own. Left out: shared in reference only."""
    augmented: StrictBool = True
    """Learn from the examples of an augment stage before it too, where there is one."""

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        student, teacher = before.student, before.teacher
        yield from self._search_rules()
        if self.mode == "reference":
            yield from self._reference_rules()
        yield from self._token_rules(recipe, before)
        if recipe.teacher.targets is not None:
            why = "teacher.targets has what a teacher predicted, and nothing of its inside"
            yield from self._logits_rules(recipe, why)
            return
        if not (teaches_signals(recipe.source.model) and recipe.student.has_layers):
            why = (
                "the student is static and has no layers"
                if not recipe.student.has_layers
                else "only the logits of this teacher can be learned, because its family is none "
                f"of {', '.join((*STUDENTS, *TEACHERS))}"
            )
            yield from self._logits_rules(recipe, why)
            return
        if student is not None:
            for loc, pairs in self._explicit_maps():
                yield from _student_layers(loc, pairs, student.layers)
        if student is not None and teacher is not None:
            yield from self._layer_map_rules(student, teacher)
            yield from self._head_rules(student, teacher, pruned=before.heads_pruned)
            yield from self._relation_rules(student, teacher, pruned=before.heads_pruned)

    @property
    def _matches_layers(self) -> bool:
        return any(objective.mapped for objective in self.objectives)

    @property
    def _candidates(self) -> list[LayerMapKind | list[LayerPair]]:
        return (self.search.candidates if self.search else None) or []

    def _explicit_maps(self) -> Iterator[tuple[tuple[str | int, ...], list[LayerPair]]]:
        """Maps written as pairs: the stage's own, and those among the candidates of a search."""
        if not isinstance(self.layer_map, str):
            yield ("layer_map",), self.layer_map
        for number, candidate in enumerate(self._candidates):
            if not isinstance(candidate, str):
                yield ("search", "candidates", number), candidate

    def _search_rules(self) -> Issues:
        """A search that is not asked for, or has nothing to search."""
        if self.search is not None and self.layer_map != "search":
            yield ("search",), "only with `layer_map: search`; leave one out"
        if self.layer_map == "search" and not self._matches_layers:
            yield (
                ("layer_map",),
                "nothing to search: no objective of this stage matches layers; leave it out",
            )

    def _reference_rules(self) -> Issues:
        """What has no counterpart in TinyBERT's published code, whose arithmetic is wanted."""
        if self.projection == "per_layer":
            yield (
                ("projection",),
                "the reference has one projection for all hidden states; leave it out, "
                "or take mode: masked",
            )
        for number, objective in enumerate(self.objectives):
            for key, why in beyond_reference(objective):
                yield ("objectives", number, key), f"{why}; leave it out, or take mode: masked"

    def _logits_rules(self, recipe: Recipe, why: str) -> Issues:
        """What is wanted beside the logits of a teacher that gives nothing else."""
        inner = [one for one in self.objectives if one.same_tokens and one.kind != "mlm"]
        if inner:
            yield (
                ("objectives", self.objectives.index(inner[0])),
                f"{', '.join(one.kind for one in inner)}: {why}; "
                f"works here: {', '.join(tokenizer_free(recipe.task))}",
            )

    def _token_rules(self, recipe: Recipe, before: Before) -> Issues:
        """What is matched token by token, where the two do not read the same tokens."""
        init = recipe.student.start
        other = False
        if init is not None and recipe.teacher.targets is None:
            ours, theirs = vocabulary(init), vocabulary(recipe.source.model)
            other = ours is not None and theirs is not None and ours != theirs
        for number, objective in enumerate(self.objectives):
            if objective.kind == "mlm" and not recipe.task.learns_text:
                yield (
                    ("objectives", number, "kind"),
                    f"mlm needs text in which tokens are masked, which the examples of a "
                    f"{recipe.task.kind} task are not; leave it out here: it works with task.kind: "
                    "text, from whose run a task starts (student.init: RUN_FOLDER)",
                )
            if objective.same_tokens and other:
                yield (
                    ("objectives", number),
                    f"'{objective.kind}' compares token by token, and the student "
                    f"({init}) has another vocabulary than the teacher; "
                    f"works here: {', '.join(tokenizer_free(recipe.task))}",
                )
            if objective.same_tokens and before.own_tokens:
                yield (
                    ("objectives", number),
                    f"'{objective.kind}' is matched token by token, and a vocabulary stage "
                    "before gave the student other token ids; leave it out or move that stage",
                )

    def _layer_map_rules(self, student: Shape, teacher: TeacherShape) -> Issues:
        for where, pairs in self._explicit_maps():
            for pair, (_, layer) in enumerate(pairs):
                if layer > teacher.layers:
                    message = f"there is no teacher layer {layer}; they are 1 to {teacher.layers}"
                    yield (*where, pair), message
        if not self._matches_layers:
            return
        if self.layer_map != "search":
            if isinstance(self.layer_map, str):
                yield from _map_kind(self.layer_map, ("layer_map",), student, teacher)
            return
        if not self._candidates:
            yield from _map_kind("search", ("layer_map",), student, teacher)
        for number, candidate in enumerate(self._candidates):
            if isinstance(candidate, str):
                where = ("search", "candidates", number)
                yield from _map_kind(candidate, where, student, teacher)

    def _head_rules(self, student: Shape, teacher: TeacherShape, *, pruned: bool) -> Issues:
        kinds = [objective.kind for objective in self.objectives]
        if "attention" not in kinds:
            return
        loc = ("objectives", kinds.index("attention"))
        if pruned:
            yield (
                loc,
                "attention is matched head by head, and heads were pruned before; leave it out, or "
                "take relations, which match any heads",
            )
        elif student.heads != teacher.heads:
            width = max(1, round(student.hidden / teacher.heads)) * teacher.heads
            fits = f"{student.layers}x{width}/{teacher.heads}"
            yield (
                loc,
                f"attention is matched head by head: the student has {student.heads} heads and the "
                f"teacher {teacher.heads}; write student.size: {fits}, or take "
                "relations instead, which match any heads",
            )

    def _relation_rules(self, student: Shape, teacher: TeacherShape, *, pruned: bool) -> Issues:
        # After pruning a layer is as wide as its heads are left: any multiple of a head's width.
        width = student.head_dim * (1 if pruned else student.heads)
        common = math.gcd(width, teacher.hidden)
        for number, objective in enumerate(self.objectives):
            if not isinstance(objective, RelationsObjective):
                continue
            depths = (("student", student.layers), ("teacher", teacher.layers))
            for (who, depth), layer in zip(depths, objective.layer or (), strict=False):
                if layer > depth:
                    message = f"there is no {who} layer {layer}; they are 1 to {depth}"
                    yield ("objectives", number, "layer"), message
            heads = objective.relation_heads
            if heads is not None and common % heads:
                near = max(n for n in range(1, min(common, heads) + 1) if common % n == 0)
                after = f"{width} (a head's, as heads were pruned before)"
                yield (
                    ("objectives", number, "relation_heads"),
                    f"{heads} does not divide both widths, {after if pruned else width} of "
                    f"the student and {teacher.hidden} of the teacher; write {near}, or leave it "
                    "out",
                )


def _student_layers(where: tuple[str | int, ...], pairs: list[LayerPair], layers: int) -> Issues:
    seen: set[int] = set()
    for pair, (student, _) in enumerate(pairs):
        loc = (*where, pair)
        if student > layers:
            yield loc, f"there is no student layer {student}; they are 1 to {layers}"
        elif student in seen:
            yield loc, f"student layer {student} stands in the map twice; keep one"
        seen.add(student)


def _map_kind(
    kind: str, loc: tuple[str | int, ...], student: Shape, teacher: TeacherShape
) -> Issues:
    """What keeps a kind of map from two depths; ``search`` stands for all that might fit."""
    depth, deep = student.layers, teacher.layers
    if depth > deep:
        yield (
            loc,
            f"the student has {depth} layers and the teacher only {deep}; give pairs "
            "[student, teacher], or a shallower student",
        )
    elif kind == "uniform" and deep % depth:
        works = [str(layers) for layers in range(1, deep + 1) if deep % layers == 0]
        yield (
            loc,
            f"uniform needs the teacher's depth ({deep}) to be a multiple of the student's "
            f"({depth}); depths that work: {', '.join(works)}; or take first, last, skip or pairs",
        )


def beyond_reference(objective: Objective) -> list[tuple[str, str]]:
    """Each key that the reference does not have, and what it has."""
    if objective.kind not in REFERENCE:
        return [("kind", f"the reference matches {', '.join(REFERENCE)} alone")]
    found = []
    if objective.weight != 1:
        found.append(("weight", "every weight of the reference is 1"))
    if isinstance(objective, AttentionObjective) and objective.on != "scores":
        found.append(("on", "the reference compares scores"))
    if isinstance(objective, LogitsObjective):
        if objective.loss not in (None, "soft_ce"):
            found.append(("loss", "the reference is the soft cross-entropy"))
        if objective.hard_weight:
            found.append(("hard_weight", "the reference has no true labels in it"))
    return found
