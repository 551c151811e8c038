"""The order of a query's candidates, by one logit for each pair of query and candidate.

Shapes: N queries, B candidates of a batch, M queries of a batch, K candidates of the longest of
their lists. A batch's ``labels`` (B, 2) are each candidate's relevance and its query's number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from transformers import PreTrainedTokenizerFast

from distill.capture.signals import ABSENT
from distill.data.reader import Reader
from distill.data.sources.columns import take
from distill.data.split import Split, TaskData
from distill.data.tokenized import TokenExamples
from distill.system import distributed
from distill.system.errors import ModelError
from distill.tasks.analysis import Analysis, Array, Flags, Keep
from distill.tasks.base import LogitsLoss, ProblemType, Task
from distill.tasks.floors import Answer, CosineFloor, Floor, Logits, Numbers
from distill.tasks.measures import MEASURES, Floats, Measure, by_query
from distill.tasks.metrics import Collected
from distill.tasks.ranking.data import RankingReader, RankingSplit
from distill.tasks.scorers import Scorer, mean_scorer

_SHOWN = 160  # characters of a candidate


class RankingAnalysis(Analysis):
    """The scores of all candidates of each query."""

    def __init__(self, task: Task, split: RankingSplit) -> None:
        super().__init__(task, split)
        self.ends = np.cumsum(split.sizes)  # (N,)

    def keeper(self, model: str, task: Task, rows: TokenExamples) -> Keep | None:
        kept = np.zeros((int(self.ends[-1]), 1), dtype=np.float32)
        self.outputs[model] = kept

        def keep(logits: npt.NDArray[np.float32], batch: Mapping[str, Any]) -> None:
            kept[np.asarray(batch["index"])] = logits

        return keep

    def shared(self) -> dict[str, Array]:
        return {"sizes": self.split.sizes, "targets": self.split.relevance}

    def _values(self, scores: npt.NDArray[np.floating]) -> Floats:
        measure = MEASURES[self.task.primary]
        return by_query(measure, scores, self.split.relevance, self.ends)

    def scorer(self, model: str) -> Scorer | None:
        return mean_scorer(self._values(self.outputs[model][:, 0]))

    def majority(self, train: Split) -> Scorer | None:
        """All candidates alike, which is a random order."""
        return mean_scorer(self._values(np.zeros(int(self.ends[-1]))))

    def _first(self, model: str, index: int) -> int:
        """The place of the candidate with the highest score; of several the least relevant."""
        end = int(self.ends[index])
        scores = self.outputs[model][end - int(self.split.sizes[index]) : end, 0]
        tied = np.flatnonzero(scores == scores.max())
        return int(tied[np.asarray(self.split.labels[index])[tied].argmin()]) if len(tied) else 0

    def _firsts(self, model: str) -> npt.NDArray[np.int64]:
        return np.array([self._first(model, index) for index in range(len(self))])

    def right(self, model: str) -> Flags:
        chosen = zip(self.split.labels, self._firsts(model).tolist(), strict=True)
        return np.array([0 < own[first] == max(own) for own, first in chosen])

    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        differ = self._firsts(teacher) != self._firsts(model)
        theirs, own = (self._values(self.outputs[name][:, 0]) for name in (teacher, model))
        return np.where(differ, theirs - own, -np.inf)

    def target_in_words(self, index: int) -> str:
        own = self.split.labels[index]
        texts = zip(self.split.candidates[index], own, strict=True)
        best = [_short(text) for text, number in texts if 0 < number == max(own)]
        return " / ".join(best) or "(none is relevant)"

    def prediction(self, model: str, index: int) -> dict[str, Any]:
        first, own = self._first(model, index), self.split.labels[index]
        return {
            "prediction": _short(self.split.candidates[index][first]),
            "confidence": None,
            "right": 0 < own[first] == max(own),
        }


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


class QueryScore(Collected):
    """The mean of a measure over the queries, from any order of their candidates.

    A candidate that is seen twice counts once. A batch brings their numbers (B,), logits (B, 1) and
    labels (B, 2).
    """

    kept = ("index", "logits", "labels")

    def __init__(self, measure: Measure) -> None:
        super().__init__()
        self.measure = measure

    def compute(self) -> Tensor:
        index, logits, labels = (one.cpu().numpy() for one in self.whole())
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


class LexicalFloor(CosineFloor):
    """How alike query and candidate are in their words: cosines (B, 1)."""

    def on(self, split: Any, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast) -> Answer:
        pairs = split.in_pairs()

        def answer(numbers: Numbers, length: int) -> Logits:
            texts, others = take(pairs.texts, numbers), take(pairs.pairs or [], numbers)
            return self.features.cosines(list(texts), list(others))[:, None]

        return answer


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
    analyses: ClassVar[type[Analysis] | None] = RankingAnalysis

    @classmethod
    def of_model(cls, labels: Sequence[str], config: Any) -> tuple[list[str], dict[str, Any]]:
        """Raw logits order as well as what is made of them."""
        if len(labels) != 1:
            raise ModelError(f"a ranking has one output, and its head has {len(labels)}")
        return list(labels), {}

    @property
    def hard_loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        return LOSSES[self.config.loss]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
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
        return logits.squeeze(-1)

    def scores(self) -> dict[str, Metric]:
        return {name: QueryScore(measure) for name, measure in MEASURES.items()}

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        metrics.update(batch["index"], logits, batch["labels"])

    def floor(self, data: TaskData) -> Floor:
        train = cast(RankingSplit, data.train)
        return LexicalFloor([*train.texts, *sorted({*chain.from_iterable(train.candidates)})])


TASK = Ranking
