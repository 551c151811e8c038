"""From a recipe and limits to the study that looks for the best model within them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distill.recipe.catalog import find
from distill.recipe.loader import load_recipe
from distill.recipe.schema import DistillStage, EncoderStudent, EvaluateStage, Limits
from distill.recipe.sizes import Size, resolve_size
from distill.system.errors import RecipeError, UserError

_HEADS = [0.0, 0.25, 0.5, 0.75]
_FFN = [0.1, 0.9, 0.1]
#: The learning rate of the last training is searched this far to both sides.
_FACTOR = 3.0


def budget_study(
    source: str, overrides: Sequence[str], limits: Limits, *, trials: int
) -> dict[str, Any]:
    """A study file over depth, pruning and learning rate of a recipe's student.

    Every depth up to the recipe's is tried that the recipe can have; heads and feed-forward neurons
    are pruned by shares where a stage prunes by shares; the last training's learning rate lies
    within a factor of three. The recipe as it is comes first, for comparison.

    Args:
        source: the recipe's name or path.
        overrides: settings of every trial.
        limits: what the final model must keep.
        trials: how many settings are tried.

    Raises:
        RecipeError: the recipe cannot be read.
        UserError: it has no evaluation, no distillation, or no size of its student.
    """
    recipe = load_recipe(source, *overrides)
    last = recipe.stages[-1]
    if not isinstance(last, EvaluateStage):
        raise UserError("a budget is measured by the evaluation; end the recipe with one: evaluate")
    trained = [stage for stage in recipe.stages if isinstance(stage, DistillStage)]
    if not trained or not isinstance(recipe.student, EncoderStudent):
        raise UserError("a budget needs a student with a size and a stage that distils into it")
    space: dict[str, Any] = {"student.size": _depths(source, overrides, recipe.student)}
    for stage in recipe.stages:
        by_shares = "ffn" in type(stage).model_fields and getattr(stage, "budget", None) is None
        if by_shares and not getattr(stage, "hidden", None):
            space[f"stages.{stage.name}.heads"] = list(_HEADS)
            space[f"stages.{stage.name}.ffn"] = {"quniform": list(_FFN)}
    rate = trained[-1].lr
    around = [float(f"{rate / _FACTOR:.3g}"), min(0.9, float(f"{rate * _FACTOR:.3g}"))]
    space[f"stages.{trained[-1].name}.lr"] = {"loguniform": around}
    return {
        "study": 1,
        "name": f"budget-{recipe.name}",
        "description": f"The best of {recipe.name} within {', '.join(describe(limits))}",
        "recipe": str(find(source).resolve()),
        "variants": {"recipe": {"stage": last.name, "title": f"{recipe.name} as it is"}},
        "search": {
            "strategy": "tpe",
            "trials": trials,
            "stage": last.name,
            "limits": limits.model_dump(exclude_none=True),
            "space": space,
        },
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


def _depths(source: str, overrides: Sequence[str], student: EncoderStudent) -> list[str]:
    """Sizes of every depth up to the recipe's that the recipe can have."""
    size = resolve_size(student.size)
    found = []
    for layers in range(1, size.layers + 1):
        name = _with_layers(size, layers)
        try:
            load_recipe(source, *overrides, f"student.size={name}")
        except RecipeError:
            continue  # a layer map that this depth cannot have
        found.append(name)
    return found


def _with_layers(size: Size, layers: int) -> str:
    """The size with another number of layers, written as the recipe's is."""
    _, x, rest = size.name.partition("x")
    shape = size.name[:1].isdigit() and x
    return f"{layers}x{rest}" if shape else f"{layers}x{size.hidden}/{size.heads}/{size.ffn}"
