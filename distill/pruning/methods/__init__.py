"""The pruning methods, one file each; a new one is its file and its line here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from distill.pruning.methods.base import PruneStage
from distill.pruning.methods.depth import DepthPrune
from distill.pruning.methods.embeddings import EmbeddingsPrune
from distill.pruning.methods.fisher import FisherPrune
from distill.pruning.methods.l1 import L1Prune
from distill.pruning.methods.movement import MovementPrune
from distill.pruning.methods.taylor import TaylorPrune
from distill.pruning.methods.units import Budget
from distill.pruning.methods.vocabulary import VocabularyPrune
from distill.section import by_default

__all__ = ["AnyPrune", "Budget", "PruneStage"]

#: A prune stage's section, by its ``method``.
AnyPrune = Annotated[
    Annotated[
        TaylorPrune
        | FisherPrune
        | L1Prune
        | MovementPrune
        | DepthPrune
        | VocabularyPrune
        | EmbeddingsPrune,
        Field(discriminator="method"),
    ],
    by_default("method", "taylor"),
]
