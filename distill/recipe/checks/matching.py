"""Faults of layer maps and of what is matched layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from distill.recipe.checks.findings import Findings
from distill.recipe.known import TeacherShape, vocabulary
from distill.recipe.schema import (
    AttentionObjective,
    DistillStage,
    LayerMapKind,
    LayerPair,
    LogitsObjective,
    Objective,
    PruneStage,
    Recipe,
    RelationsObjective,
    Stage,
    tokenizer_free,
)
from distill.recipe.sizes import Size
from distill.recipe.yaml_lines import Loc


def remaining_layers(recipe: Recipe, size: Size) -> list[int]:
    """The student's depth when each stage begins."""
    depth, depths = size.layers, []
    for stage in recipe.stages:
        depths.append(depth)
        if isinstance(stage, PruneStage):
            depth = stage.layers_left(depth)
    return depths


def pruning(recipe: Recipe, size: Size | None) -> Findings:
    """What the sections of prune stages say of themselves."""
    depths = [None] * len(recipe.stages) if size is None else remaining_layers(recipe, size)
    for index, (stage, layers) in enumerate(zip(recipe.stages, depths, strict=True)):
        if isinstance(stage, PruneStage):
            for key, message in stage.issues(layers):
                yield ("stages", index, *key), message


def explicit_student_layers(recipe: Recipe, size: Size) -> Findings:
    """Faults of explicit layer maps that can be told without the teacher."""
    depths = remaining_layers(recipe, size)
    for index, (stage, layers) in enumerate(zip(recipe.stages, depths, strict=True)):
        if not isinstance(stage, DistillStage):
            continue
        for loc, pairs in _explicit_maps(stage, index):
            yield from _student_layers(loc, pairs, layers)


def _student_layers(where: Loc, pairs: list[LayerPair], layers: int) -> Findings:
    seen: set[int] = set()
    for pair, (student, _) in enumerate(pairs):
        loc = (*where, pair)
        if student > layers:
            yield loc, f"there is no student layer {student}; they are 1 to {layers}"
        elif student in seen:
            yield loc, f"student layer {student} stands in the map twice; keep one"
        seen.add(student)


def _explicit_maps(stage: DistillStage, index: int) -> Iterator[tuple[Loc, list[LayerPair]]]:
    """Maps written as pairs: the stage's own, and those among the candidates of a search."""
    if not isinstance(stage.layer_map, str):
        yield ("stages", index, "layer_map"), stage.layer_map
    for number, candidate in enumerate(_candidates(stage)):
        if not isinstance(candidate, str):
            yield ("stages", index, "search", "candidates", number), candidate


def _candidates(stage: DistillStage) -> list[LayerMapKind | list[LayerPair]]:
    return (stage.search.candidates if stage.search else None) or []


def layer_search(recipe: Recipe) -> Findings:
    """A search that is not asked for, or has nothing to search."""
    for index, stage in enumerate(recipe.stages):
        if not isinstance(stage, DistillStage):
            continue
        if stage.search is not None and stage.layer_map != "search":
            yield ("stages", index, "search"), "only with `layer_map: search`; leave one out"
        if stage.layer_map == "search" and not _matches_layers(stage):
            yield (
                ("stages", index, "layer_map"),
                "nothing to search: no objective of this stage matches layers; leave it out",
            )


#: What TinyBERT's published code matches.
REFERENCE = ("embedding", "attention", "hidden", "logits")


def reference(recipe: Recipe) -> Findings:
    """What has no counterpart in TinyBERT's published code, where a stage wants its arithmetic."""
    for index, stage in enumerate(recipe.stages):
        if not isinstance(stage, DistillStage) or stage.mode != "reference":
            continue
        if stage.projection == "per_layer":
            yield (
                ("stages", index, "projection"),
                "the reference has one projection for all hidden states; leave it out, "
                "or take mode: masked",
            )
        for number, objective in enumerate(stage.objectives):
            loc: Loc = ("stages", index, "objectives", number)
            for key, said in _beyond_reference(objective):
                yield (*loc, key), f"{said}; leave it out, or take mode: masked"


def _beyond_reference(objective: Objective) -> list[tuple[str, str]]:
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


def tokens(recipe: Recipe) -> Findings:
    """What is matched token by token, where teacher and student do not read the same tokens."""
    if recipe.student.init in ("teacher-layers", "random"):
        return
    ours, theirs = vocabulary(recipe.student.init), vocabulary(recipe.teacher.model)
    if ours is None or theirs is None or ours == theirs:
        return
    works = ", ".join(tokenizer_free())
    for index, stage in enumerate(recipe.stages):
        if not isinstance(stage, DistillStage):
            continue
        for number, objective in enumerate(stage.objectives):
            if objective.same_tokens:
                yield (
                    ("stages", index, "objectives", number),
                    f"'{objective.kind}' compares token by token, and the student "
                    f"({recipe.student.init}) has another vocabulary than the teacher; "
                    f"works here: {works}",
                )


def masked_text(recipe: Recipe) -> Findings:
    """Masked-language modelling on a task's rows, which have no masks, nor its student a head."""
    if recipe.task.learns_text:
        return
    for index, stage in enumerate(recipe.stages):
        if not isinstance(stage, DistillStage):
            continue
        for number, objective in enumerate(stage.objectives):
            if objective.kind == "mlm":
                yield (
                    ("stages", index, "objectives", number, "kind"),
                    f"mlm needs text in which tokens are masked, which the rows of a "
                    f"{recipe.task.kind} task are not; leave it out here: it works with task.kind: "
                    "text, from whose run a task starts (student.init: RUN_FOLDER)",
                )


def matching(recipe: Recipe, size: Size, teacher: TeacherShape) -> Findings:
    """Layer maps and head counts that cannot be."""
    heads_pruned = False
    depths = remaining_layers(recipe, size)
    for index, (stage, layers) in enumerate(zip(recipe.stages, depths, strict=True)):
        if isinstance(stage, DistillStage):
            left = replace(size, layers=layers)
            yield from _layer_map(stage, index, left, teacher)
            yield from _heads(stage, index, left, teacher, heads_pruned=heads_pruned)
            yield from _relations(stage, index, left, teacher, heads_pruned=heads_pruned)
        heads_pruned |= isinstance(stage, PruneStage) and stage.removes_heads


def _matches_layers(stage: Stage) -> bool:
    return isinstance(stage, DistillStage) and any(
        objective.mapped for objective in stage.objectives
    )


def _layer_map(stage: DistillStage, index: int, size: Size, teacher: TeacherShape) -> Findings:
    loc: Loc = ("stages", index, "layer_map")
    for where, pairs in _explicit_maps(stage, index):
        for pair, (_, layer) in enumerate(pairs):
            if layer > teacher.layers:
                found = f"there is no teacher layer {layer}; they are 1 to {teacher.layers}"
                yield (*where, pair), found
    if not _matches_layers(stage):
        return
    if stage.layer_map == "search":
        if not _candidates(stage):
            yield from _kind("search", loc, size, teacher)
        for number, candidate in enumerate(_candidates(stage)):
            if isinstance(candidate, str):
                where = ("stages", index, "search", "candidates", number)
                yield from _kind(candidate, where, size, teacher)
    elif isinstance(stage.layer_map, str):
        yield from _kind(stage.layer_map, loc, size, teacher)


def _kind(kind: str, loc: Loc, size: Size, teacher: TeacherShape) -> Findings:
    """What keeps a kind of map from two depths; ``search`` stands for all that might fit."""
    depth, deep = size.layers, teacher.layers
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


def _heads(
    stage: DistillStage, index: int, size: Size, teacher: TeacherShape, *, heads_pruned: bool
) -> Findings:
    kinds = [objective.kind for objective in stage.objectives]
    if "attention" not in kinds:
        return
    loc: Loc = ("stages", index, "objectives", kinds.index("attention"))
    if heads_pruned:
        yield (
            loc,
            (
                "attention is matched head by head, and heads were pruned before; leave it out, or "
                "take relations, which match any heads"
            ),
        )
    elif size.heads != teacher.heads:
        width = max(1, round(size.hidden / teacher.heads)) * teacher.heads
        fits = f"{size.layers}x{width}/{teacher.heads}"
        yield (
            loc,
            f"attention is matched head by head: the student has {size.heads} heads and the "
            f"teacher {teacher.heads}; write student.size: {fits}, or take "
            "relations instead, which match any heads",
        )


def _relations(
    stage: DistillStage, index: int, size: Size, teacher: TeacherShape, *, heads_pruned: bool
) -> Findings:
    for number, objective in enumerate(stage.objectives):
        if not isinstance(objective, RelationsObjective):
            continue
        loc: Loc = ("stages", index, "objectives", number)
        for who, layer, depth in zip(
            ("student", "teacher"),
            objective.layer or (),
            (size.layers, teacher.layers),
            strict=False,
        ):
            if layer > depth:
                yield (*loc, "layer"), f"there is no {who} layer {layer}; they are 1 to {depth}"
        heads = objective.relation_heads
        # After pruning a layer is as wide as its heads are left: any multiple of a head's width.
        width = size.hidden // size.heads if heads_pruned else size.hidden
        common = math.gcd(width, teacher.hidden)
        if heads is not None and common % heads:
            near = max(n for n in range(1, min(common, heads) + 1) if common % n == 0)
            ours = f"{width} (a head's, as heads were pruned before)" if heads_pruned else width
            yield (
                (*loc, "relation_heads"),
                f"{heads} does not divide both widths, {ours} of the student and {teacher.hidden} "
                f"of the teacher; write {near}, or leave it out",
            )


def own_vocabulary(recipe: Recipe) -> Findings:
    """What is matched token by token after the student's tokens have become its own."""
    trimmed = False
    for index, stage in enumerate(recipe.stages):
        if trimmed and isinstance(stage, DistillStage):
            for place, objective in enumerate(stage.objectives):
                if objective.same_tokens:
                    yield (
                        ("stages", index, "objectives", place),
                        f"'{objective.kind}' is matched token by token, and a vocabulary stage "
                        "before gave the student other token ids; leave it out or move that stage",
                    )
        trimmed |= isinstance(stage, PruneStage) and stage.own_tokens
