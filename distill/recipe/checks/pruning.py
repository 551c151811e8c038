"""Faults of prune stages: keys of other methods, budgets that say too much, layers that are not."""

from __future__ import annotations

from collections.abc import Iterator

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import DistillStage, PruneStage, Recipe, TrainConfig
from distill.recipe.schema.prune import UNIT_METHODS
from distill.recipe.sizes import Size
from distill.recipe.yaml_lines import Loc

_MEASURES = ("macs", "parameters", "latency_ms")
#: Keys that only some methods know.
_KEYS: dict[str, tuple[str, ...]] = {
    "heads": UNIT_METHODS,
    "ffn": UNIT_METHODS,
    "hidden": ("taylor", "fisher"),
    "budget": UNIT_METHODS,
    "uniform": UNIT_METHODS,
    "reconstruct": UNIT_METHODS,
    "samples": ("fisher",),
    "score_steps": ("taylor", "movement", "depth"),
    "steps": ("taylor", "fisher", "l1"),
    "layers": ("depth",),
    "keep": ("depth",),
    "min_count": ("vocabulary",),
}


def pruning(recipe: Recipe) -> Findings:
    """What cannot be in a prune stage."""
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, PruneStage):
            for key, message in (*_keys(stage), *_amounts(stage), *_rounds(stage)):
                yield ("stages", index, *key), message


def _keys(stage: PruneStage) -> Iterator[tuple[Loc, str]]:
    for key, methods in _KEYS.items():
        if getattr(stage, key) is not None and stage.method not in methods:
            known = (
                " and ".join([", ".join(methods[:-1]), methods[-1]]) if methods[1:] else methods[0]
            )
            yield (key,), f"is for method {known}; '{stage.method}' has no use for it: leave it out"


def _amounts(stage: PruneStage) -> Iterator[tuple[Loc, str]]:
    budget = stage.budget
    if budget is not None:
        for key in ("heads", "ffn"):
            if getattr(stage, key) is not None:
                yield (key,), "a share and a budget cannot both hold; keep one of them"
        if stage.hidden is not None:
            yield ("hidden",), "a budget divides heads and neurons; cut the width in another stage"
        given = [key for key in _MEASURES if getattr(budget, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            yield ("budget",), f"found {found}; give one of: {', '.join(_MEASURES)}"
        if budget.parameters is not None and budget.length is not None:
            yield ("budget", "length"), "parameters do not depend on a length; leave it out"
        if budget.latency_ms is None and budget.threads is not None:
            yield ("budget", "threads"), "only latency_ms is measured; leave it out"
    elif stage.by_units and not stage.removes_units and stage.hidden is None:
        yield (
            ("heads",),
            "nothing would be removed; give a share of heads, ffn or hidden, or a budget",
        )
    if stage.by_units and not stage.removes_units and stage.reconstruct not in (None, "none"):
        yield ("reconstruct",), "fits what stands behind heads and neurons; none are removed"
    if stage.method == "depth" and (stage.layers is None) == (stage.keep is None):
        yield ("method",), "'depth' needs `layers` (how many go) or `keep` (a list), one of them"
    if stage.keep is not None and stage.keep != sorted(set(stage.keep)):
        yield ("keep",), "layers stay in their order, each once, such as [1, 3, 6]"


def _rounds(stage: PruneStage) -> Iterator[tuple[Loc, str]]:
    if stage.schedule == "one-shot" and stage.steps is not None:
        yield ("steps",), "are the rounds of a schedule; write schedule: linear or agp"
    if stage.schedule != "one-shot":
        if stage.method not in _KEYS["steps"]:
            why = "has a schedule of its own" if stage.method == "movement" else "is done at once"
            yield ("schedule",), f"'{stage.method}' {why}; leave it out"
        elif stage.recover is None:
            yield ("recover",), "a schedule recovers between its rounds; give `recover` settings"
    if stage.method == "vocabulary" and stage.recover not in (None, TrainConfig(epochs=1)):
        yield ("recover",), "no weight that the training texts use changes; leave it out"
    if stage.tries is not None and stage.max_drop is None:
        yield ("tries",), "are for max_drop, which is not set; give both or neither"


def remaining_layers(recipe: Recipe, size: Size) -> list[int]:
    """The student's depth when each stage begins."""
    depth, found = size.layers, []
    for stage in recipe.stages:
        found.append(depth)
        if isinstance(stage, PruneStage):
            depth = len(stage.keep) if stage.keep else max(1, depth - (stage.layers or 0))
    return found


def depth(recipe: Recipe, size: Size) -> Findings:
    """Layers that a depth stage cannot remove or keep."""
    for index, (stage, layers) in enumerate(
        zip(recipe.stages, remaining_layers(recipe, size), strict=True)
    ):
        if not isinstance(stage, PruneStage) or stage.method != "depth":
            continue
        loc: Loc = ("stages", index)
        if stage.layers is not None and stage.layers >= layers:
            yield (*loc, "layers"), f"the student has {layers} layers then; at least one must stay"
        for layer in [layer for layer in stage.keep or () if layer > layers]:
            yield (*loc, "keep"), f"there is no student layer {layer} then; they are 1 to {layers}"


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
        trimmed |= isinstance(stage, PruneStage) and stage.method == "vocabulary"
