"""How well the cosines of sentence vectors follow given similarities.

Shapes: F sentences of a batch, N pairs, D width of the vectors.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef

from distill.errors import DataError


class PairCorrelation(Metric):
    """A correlation between the cosines of pairs and their given similarities.

    Sentence number 2k is the first one of pair k and 2k + 1 the second; they may come in different
    batches, in any order, and on different processes: vectors are kept until the end.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    vectors: list[Tensor]
    numbers: list[Tensor]
    given: list[Tensor]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for state in ("vectors", "numbers", "given"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, vectors: Tensor, numbers: Tensor, similarities: Tensor) -> None:
        """Take sentences.

        Args:
            vectors: (F, D).
            numbers: which sentence each is, (F,).
            similarities: the given similarity of the pair that each belongs to, (F,).
        """
        self.vectors.append(F.normalize(vectors.detach().float(), dim=-1))
        self.numbers.append(numbers)
        self.given.append(similarities.double())

    def compute(self) -> Tensor:
        """The correlation over all pairs.

        Raises:
            DataError: a sentence of a pair was not given.
        """
        vectors, numbers, given = (_whole(x) for x in (self.vectors, self.numbers, self.given))
        order = numbers.argsort()
        pairs = numbers[order].view(-1, 2) if len(order) % 2 == 0 else numbers[:0]
        if len(pairs) == 0 or not torch.equal(pairs[:, 0] + 1, pairs[:, 1]) or pairs[0, 0] % 2:
            raise DataError("similarities are of pairs, and not all pairs are there whole")
        both = vectors[order].view(len(pairs), 2, -1)  # (N, 2, D)
        cosines = (both[:, 0] * both[:, 1]).sum(dim=-1).double()  # (N,)
        return self.correlation(cosines, given[order][::2])

    @abstractmethod
    def correlation(self, cosines: Tensor, given: Tensor) -> Tensor:
        """The correlation of two (N,) in fp64; 0 where one of them is the same everywhere."""


def _whole(state: Tensor | list[Tensor]) -> Tensor:
    """A state, which several processes have put together already."""
    return state if isinstance(state, Tensor) else torch.cat(state)


class PearsonOfPairs(PairCorrelation):
    """Pearson's correlation: how near to a line the similarities are."""

    def correlation(self, cosines: Tensor, given: Tensor) -> Tensor:
        """See :class:`PairCorrelation`."""
        return _correlation(pearson_corrcoef, cosines, given)


class SpearmanOfPairs(PairCorrelation):
    """Spearman's rank correlation: how near to their order the similarities are."""

    def correlation(self, cosines: Tensor, given: Tensor) -> Tensor:
        """See :class:`PairCorrelation`."""
        return _correlation(spearman_corrcoef, cosines, given)


def _correlation(function: Any, cosines: Tensor, given: Tensor) -> Tensor:
    if len(given) < 2 or (given == given[0]).all() or (cosines == cosines[0]).all():
        return torch.zeros((), dtype=torch.float64)
    found: Tensor = function(cosines, given)
    return found
