"""The pruning methods, one file each; a new one is its file and its line here."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from distill.pruning.methods.base import PruneStage
from distill.pruning.methods.depth import DepthPrune
from distill.pruning.methods.fisher import FisherPrune
from distill.pruning.methods.l1 import L1Prune
from distill.pruning.methods.movement import MovementPrune
from distill.pruning.methods.taylor import TaylorPrune
from distill.pruning.methods.units import Budget
from distill.pruning.methods.vocabulary import VocabularyPrune

__all__ = ["AnyPrune", "Budget", "PruneStage"]

_DEFAULT = "taylor"


def _with_method(section: Any) -> Any:
    """A section that names no method, with the default one."""
    if isinstance(section, dict) and "method" not in section:
        return section | {"method": _DEFAULT}
    return section


#: A prune stage's section, by its ``method``.
AnyPrune = Annotated[
    Annotated[
        TaylorPrune | FisherPrune | L1Prune | MovementPrune | DepthPrune | VocabularyPrune,
        Field(discriminator="method"),
    ],
    BeforeValidator(_with_method),
]
