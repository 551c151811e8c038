"""Scores of the vectors of pairs, such as how well their cosines follow given similarities.

Shapes: F sentences of a batch, N pairs, D width of the vectors.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from distill.system.errors import DataError
from distill.tasks.correlation import CorrelationMetric, Kind


class PairMetric(Metric):
    """Base of the scores of vectors of pairs.

    Sentence number 2k is the first one of pair k and 2k + 1 the second; they may come in different
    batches, in any order, and on different processes: vectors are kept until the end.

    Args:
        *args: those of the other base.
        width: the first so many dimensions of the vectors alone; ``None`` takes all.
        **options: those of :class:`torchmetrics.Metric`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    vectors: list[Tensor]
    numbers: list[Tensor]
    given: list[Tensor]

    def __init__(self, *args: Any, width: int | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.width = width
        for state in ("vectors", "numbers", "given"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def take(self, vectors: Tensor, numbers: Tensor, given: Tensor) -> None:
        """Keep sentences.

        Args:
            vectors: (F, D).
            numbers: which sentence each is, (F,).
            given: what is known of the pair that each belongs to, (F,).
        """
        self.vectors.append(F.normalize(vectors.detach().float(), dim=-1))
        self.numbers.append(numbers)
        self.given.append(given.double())

    def whole(self) -> tuple[Tensor, Tensor, Tensor]:
        """All vectors, pair by pair, (2 N, D); what is known of the pairs, (N,); their order.

        Raises:
            DataError: a sentence of a pair was not given.
        """
        vectors, numbers, given = map(dim_zero_cat, (self.vectors, self.numbers, self.given))
        order = numbers.argsort()
        pairs = numbers[order].view(-1, 2) if len(order) % 2 == 0 else numbers[:0]
        if len(pairs) == 0 or not torch.equal(pairs[:, 0] + 1, pairs[:, 1]) or pairs[0, 0] % 2:
            raise DataError("vectors are scored in pairs, and not all pairs are there whole")
        if self.width is not None:
            vectors = F.normalize(vectors[:, : self.width], dim=-1)
        return vectors[order], given[order][::2], order


class PairCorrelation(PairMetric, CorrelationMetric):
    """A correlation between the cosines of pairs and their given similarities.

    Args:
        kind: ``pearson``, how near to a line the similarities are, or ``spearman``, to their order.
        width: see :class:`PairMetric`.
        **options: those of :class:`torchmetrics.Metric`.
    """

    def __init__(self, kind: Kind, *, width: int | None = None, **options: Any) -> None:
        super().__init__(kind, width=width, **options)

    def update(self, vectors: Tensor, numbers: Tensor, similarities: Tensor) -> None:
        """Take sentences; see :meth:`PairMetric.take`."""
        self.take(vectors, numbers, similarities)

    def compute(self) -> Tensor:
        """The correlation over all pairs; 0 where it is not defined."""
        vectors, given, _ = self.whole()
        both = vectors.view(len(given), 2, -1)  # (N, 2, D)
        cosines = (both[:, 0] * both[:, 1]).sum(dim=-1).double()  # (N,)
        return self.of(cosines, given)
