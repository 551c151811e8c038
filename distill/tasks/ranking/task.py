"""The order of a query's candidates, by one logit for each pair of query and candidate.

Shapes: B candidates of a batch, M queries of a batch, K candidates of the longest of their lists.
A batch's ``labels`` (B, 2) are each candidate's relevance and its query's number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities import dim_zero_cat
from transformers import PreTrainedTokenizerFast

from distill.capture.signals import ABSENT
from distill.data.reader import Reader
from distill.data.sources.columns import take
from distill.data.split import Split, TaskData
from distill.data.tokenized import TokenExamples
from distill.system import distributed
from distill.system.errors import ModelError
from distill.tasks.base import LogitsLoss, ProblemType, Task
from distill.tasks.floors import Answer, Floor, Logits, Numbers
from distill.tasks.floors.features import Features
from distill.tasks.measures import MEASURES, Measure, by_query
from distill.tasks.ranking.analysis import RankingAnalysis
from distill.tasks.ranking.data import RankingReader, RankingSplit


class QueryScore(Metric):
    """The mean of a measure over the queries, from any order of their candidates.

    A candidate that is seen twice counts once.

    Args:
        measure: one of :data:`MEASURES`.
    """

    index: list[Tensor]
    logits: list[Tensor]
    labels: list[Tensor]

    def __init__(self, measure: Measure) -> None:
        super().__init__()
        self.measure = measure
        for state in ("index", "logits", "labels"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, index: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Take candidates by their numbers (B,), with logits (B, 1) and labels (B, 2)."""
        self.index.append(index)
        self.logits.append(logits.detach().float())
        self.labels.append(labels)

    def compute(self) -> Tensor:
        """The mean over the queries."""
        index, logits, labels = (
            dim_zero_cat(state).cpu().numpy() for state in (self.index, self.logits, self.labels)
        )
        _, first = np.unique(index, return_index=True)
        relevance, query = labels[first].T
        ends = np.flatnonzero(np.diff(query, append=np.inf)) + 1
        values = by_query(self.measure, logits[first, 0], relevance, ends)
        return torch.tensor(values.mean(), dtype=torch.float64)


def as_lists(values: Tensor, queries: Tensor, fill: float) -> Tensor:
    """Values of candidates (B,) as one row for each query, (M, K), filled up.

    Args:
        values: (B,).
        queries: the query's number of each, in any order, (B,).
        fill: what stands in the place of candidates that a query does not have.
    """
    _, row, sizes = queries.unique(return_inverse=True, return_counts=True)  # (B,), (M,)
    order = row.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes
    place = torch.arange(len(row), device=row.device) - starts[row[order]]  # in its row
    lists = values.new_full((len(sizes), int(sizes.max())), fill)
    return lists.index_put((row[order], place), values[order])


def softmax_loss(scores: Tensor, relevance: Tensor) -> Tensor:
    r"""Listwise softmax cross-entropy, in fp32.

    :math:`-\sum_i \frac{y_i}{\sum_j y_j} \log \mathrm{softmax}(s)_i`, the mean over the queries
    with a relevant candidate.

    Args:
        scores: (M, K).
        relevance: y, 0 or more; NaN of candidates that are not there, (M, K).

    Reference:
        Cao et al. 2007, Learning to Rank: From Pairwise Approach to Listwise Approach; Bruch et al.
        2019, An Analysis of the Softmax Cross Entropy Loss for Learning-to-Rank with Binary
        Relevance.
    """
    given = relevance.nan_to_num(0.0).to(scores)
    whole = given.sum(dim=1, keepdim=True)  # (M, 1)
    shares = given / whole.clamp(min=torch.finfo(given.dtype).tiny)
    losses = -(shares * scores.float().log_softmax(dim=1)).sum(dim=1)  # (M,)
    return distributed.weighted_mean(losses.sum(), (whole > 0).sum().to(losses))


def bce_loss(scores: Tensor, relevance: Tensor) -> Tensor:
    """Binary cross-entropy of every candidate by itself, relevant (above 0) or not, in fp32.

    Args:
        scores: (M, K).
        relevance: NaN of candidates that are not there, (M, K).
    """
    there = ~relevance.isnan()
    target = (relevance > 0).to(scores).float()
    losses = F.binary_cross_entropy_with_logits(scores.float(), target, reduction="none") * there
    return distributed.weighted_mean(losses.sum(), there.sum().to(losses))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"softmax": softmax_loss, "bce": bce_loss}


class Ranking(Task):
    """One logit for each pair of a query and a candidate, by which the candidates are ordered.

    Metrics, means over the queries; candidates with equal scores stand in no order, and the mean
    over their orders counts:

    - ``ndcg@10``: normalised discounted cumulative gain, its gains the relevances themselves;
    - ``mrr@10``: one divided by the place of the first relevant candidate.
    """

    kind: ClassVar[str] = "ranking"
    fixed_labels: ClassVar[tuple[str, ...] | None] = ("score",)
    reader: ClassVar[type[Reader]] = RankingReader
    problem_type: ClassVar[ProblemType | None] = "regression"
    logits_loss: ClassVar[LogitsLoss] = "mse"

    @classmethod
    def of_model(cls, labels: Sequence[str], config: Any) -> tuple[list[str], dict[str, Any]]:
        """See :meth:`Task.of_model`: raw logits order as well as what is made of them."""
        if len(labels) != 1:
            raise ModelError(f"a ranking has one output, and its head has {len(labels)}")
        return list(labels), {}

    @property
    def hard_loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        """See :meth:`Task.hard_loss`: the loss of the recipe."""
        return LOSSES[self.config.loss]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :func:`softmax_loss` and :func:`bce_loss`, of logits (B, 1) and labels (B, 2)."""
        return self.hard_loss(
            as_lists(logits[:, 0].float(), labels[:, 1], ABSENT),
            as_lists(labels[:, 0], labels[:, 1], float("nan")),
        )

    def comparable(self, logits: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """The list of each query, (M, K)."""
        return as_lists(logits[:, 0], batch["labels"][:, 1], ABSENT)

    def comparable_labels(self, batch: Mapping[str, Any]) -> Tensor:
        """The relevances of each query's candidates, (M, K); NaN where there is none."""
        return as_lists(batch["labels"][:, 0], batch["labels"][:, 1], float("nan"))

    def decide(self, logits: Tensor) -> Tensor:
        """The score itself, (B,)."""
        return logits.squeeze(-1)

    def metrics(self) -> MetricCollection:
        """The metrics listed above, empty; both look at the same scores."""
        found: dict[str, Metric] = {name: QueryScore(one) for name, one in MEASURES.items()}
        return MetricCollection(dict(found), compute_groups=[list(found)])

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        """Take a batch of candidates; those of a query need not be in one."""
        metrics.update(batch["index"], logits, batch["labels"])

    def floor(self, data: TaskData) -> Floor | None:
        """How alike query and candidate are in their words; see :meth:`Task.floor`."""
        return LexicalFloor(data.train) if isinstance(data.train, RankingSplit) else None

    def analysis(
        self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast
    ) -> RankingAnalysis | None:
        return RankingAnalysis(self, split) if isinstance(split, RankingSplit) else None


TASK = Ranking


class LexicalFloor(Floor):
    """The mean cosine of the TF-IDFs by words and by characters of query and candidate.

    Args:
        train: the training queries, whose relevances are not looked at.
    """

    format: ClassVar[str] = "tf-idf"

    def __init__(self, train: RankingSplit) -> None:
        texts = {text for own in train.candidates for text in own}
        self.features = Features(([*train.texts, *sorted(texts)], None))

    def on(self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast) -> Answer:
        """See :meth:`Floor.on`: cosines (B, 1)."""
        if not isinstance(split, RankingSplit):
            raise ModelError("the floor of a ranking reads queries with candidates")
        pairs = split.in_pairs()

        def answer(numbers: Numbers, length: int) -> Logits:
            texts, others = take(pairs.texts, numbers), take(pairs.pairs or [], numbers)
            return self.features.cosines(list(texts), list(others))[:, None]

        return answer

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        return self.features.arrays()
