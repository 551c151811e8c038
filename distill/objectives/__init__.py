"""Losses over matched signals: one file each."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import TypeAdapter

from distill.objectives.attention import AttentionMatch
from distill.objectives.base import Mode, Objective, Project
from distill.objectives.cls import ClsMatch
from distill.objectives.cosine import CosineMatch
from distill.objectives.decoupled import DecoupledMatch
from distill.objectives.embedding import EmbeddingMatch
from distill.objectives.hidden import HiddenMatch
from distill.objectives.logits import LogitsMatch
from distill.objectives.mlm import MlmMatch
from distill.objectives.relational import OrderMatch, RelationalMatch
from distill.objectives.relations import RelationsMatch
from distill.objectives.standardized import StandardizedMatch
from distill.objectives.vectors import SimilarityMatch, VectorMatch
from distill.recipe import schema
from distill.recipe.schema.objectives import LogitsObjective
from distill.system.errors import ModelError

__all__ = ["KINDS", "REFERENCE", "Mode", "Objective", "Project", "make_objectives"]

#: Kind of objective, as recipes name it, and what makes it from its part of the recipe.
KINDS: dict[str, Callable[[Any], Objective]] = {
    "embedding": EmbeddingMatch.of,
    "attention": AttentionMatch.of,
    "hidden": HiddenMatch.of,
    "logits": LogitsMatch.of,
    "relations": RelationsMatch.of,
    "cosine": CosineMatch.of,
    "cls": ClsMatch.of,
    "decoupled": DecoupledMatch.of,
    "standardized": StandardizedMatch.of,
    "mlm": MlmMatch.of,
    "similarity": SimilarityMatch.of,
    "vector": VectorMatch.of,
    "relational": RelationalMatch.of,
    "order": OrderMatch.of,
}
#: What makes the kinds that TinyBERT's published code has, to its letter.
REFERENCE: dict[str, Callable[[Any, Mode], Objective]] = {
    "embedding": EmbeddingMatch.of,
    "attention": AttentionMatch.of,
    "hidden": HiddenMatch.of,
    "logits": LogitsMatch.of,
}


def make_objectives(
    configs: Sequence[schema.Objective | Objective | str],
    *,
    mode: Mode = "masked",
    logits_loss: Literal["soft_ce", "kl", "mse"] = "soft_ce",
) -> list[Objective]:
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
    made: list[Objective] = []
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


def _make(settings: schema.Objective, mode: Mode) -> Objective:
    if mode == "masked":
        return KINDS[settings.kind](settings)
    if settings.kind not in REFERENCE:
        raise ModelError(
            f"objectives: '{settings.kind}' is not in TinyBERT's published code, which matches "
            f"{', '.join(REFERENCE)}; take mode='masked'"
        )
    return REFERENCE[settings.kind](settings, mode)


def _default(kind: str) -> schema.Objective:
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ModelError(f"objectives: unknown kind '{kind}'; known: {', '.join(KINDS)}{hint}")
    made: schema.Objective = TypeAdapter(schema.Objective).validate_python({"kind": kind})
    return made
