"""Losses over matched signals."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import TypeAdapter

from distill.objectives.attention import AttentionMatch
from distill.objectives.base import Compared, Mode, Objective, Project
from distill.objectives.hidden import ClsMatch, CosineMatch, EmbeddingMatch, HiddenMatch
from distill.objectives.logits import DecoupledMatch, LogitsMatch, StandardizedMatch
from distill.objectives.mlm import MlmMatch
from distill.objectives.relations import RelationsMatch
from distill.objectives.vectors import OrderMatch, RelationalMatch, SimilarityMatch, VectorMatch
from distill.recipe import schema
from distill.recipe.schema.distill import beyond_reference
from distill.recipe.schema.objectives import LogitsObjective
from distill.system.errors import ModelError

__all__ = ["KINDS", "Compared", "Mode", "Objective", "Project", "make_objectives"]

#: Kind of objective, as recipes name it, and its class.
KINDS: dict[str, type[Objective[Any]]] = {
    "embedding": EmbeddingMatch,
    "attention": AttentionMatch,
    "hidden": HiddenMatch,
    "logits": LogitsMatch,
    "relations": RelationsMatch,
    "cosine": CosineMatch,
    "cls": ClsMatch,
    "decoupled": DecoupledMatch,
    "standardized": StandardizedMatch,
    "mlm": MlmMatch,
    "similarity": SimilarityMatch,
    "vector": VectorMatch,
    "relational": RelationalMatch,
    "order": OrderMatch,
}


def make_objectives(
    configs: Sequence[schema.Objective | Objective[Any] | str],
    *,
    mode: Mode = "masked",
    logits_loss: Literal["soft_ce", "kl", "mse"] = "soft_ce",
) -> list[Objective[Any]]:
    """Objectives from a recipe's list, from bare kinds (with default settings), or a mix.

    Args:
        configs: parts of a recipe, kinds such as ``"attention"``, or objectives, kept as they are.
        mode: ``masked`` (means over real tokens) or ``reference`` (TinyBERT's published code).
        logits_loss: what ``logits`` takes where its part of the recipe names none: the task's.

    Raises:
        ModelError: a kind is unknown, given twice, not in the reference, or the list is empty.

    Example:
        >>> [objective.kind for objective in make_objectives(["attention", "hidden"])]
        ['attention', 'hidden']
    """
    made: list[Objective[Any]] = []
    for config in configs:
        if isinstance(config, Objective):
            made.append(config)
            continue
        settings = _default(config) if isinstance(config, str) else config
        if isinstance(settings, LogitsObjective) and settings.loss is None:
            settings = settings.model_copy(update={"loss": logits_loss})
        made.append(_make(settings, mode))
    if not made:
        raise ModelError(f"objectives: the list is empty; give at least one of {', '.join(KINDS)}")
    kinds = [objective.kind for objective in made]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ModelError(
                f"objectives: '{kind}' stands in the list twice; set its weight instead"
            )
    return made


def _make(settings: schema.Objective, mode: Mode) -> Objective[Any]:
    for key, why in beyond_reference(settings) if mode == "reference" else ():
        raise ModelError(f"objective '{settings.kind}': {key}: {why}; or take mode='masked'")
    return KINDS[settings.kind](settings, mode)


def _default(kind: str) -> schema.Objective:
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ModelError(f"objectives: unknown kind '{kind}'; known: {', '.join(KINDS)}{hint}")
    made: schema.Objective = TypeAdapter(schema.Objective).validate_python({"kind": kind})
    return made
