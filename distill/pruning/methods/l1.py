"""``l1``: the magnitude of a unit's weights, which asks nobody but the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from distill.pruning.methods.units import InRounds

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from distill.pruning.bench import Bench
    from distill.pruning.search import Scores
    from distill.pruning.units import Judged


class L1Prune(InRounds):
    """Heads and neurons with the smallest weights."""

    method: Literal["l1"]
    """Magnitude of the weights: a floor to compare with."""
    ranks_only: ClassVar[bool] = True

    def judge(self, student: PreTrainedModel, bench: Bench) -> Judged:
        from distill.pruning.units import Judged

        return Judged(student, l1_scores(student))


def l1_scores(model: PreTrainedModel) -> Scores:
    r"""Scores :math:`\sum_{w \in S} |w|`.

    Of a head S are its rows of query, key and value, of a neuron its row of the intermediate layer.
    """
    from distill.pruning.search import by_rows

    return by_rows(model, lambda weight: weight.detach().abs())
