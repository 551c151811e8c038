"""A vector for each text, whose cosines say how alike texts are; its floor is TF-IDF's cosine.

Shapes: F sentences of a batch, P its pairs (F = 2 P), N pairs of a split, D width of the vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from transformers import PreTrainedTokenizerFast

from distill.data.reader import Reader
from distill.data.split import Split, TaskData
from distill.data.tokenized import TokenExamples
from distill.objectives.vectors import shortened
from distill.system.errors import DataError
from distill.tasks.analysis import Keep
from distill.tasks.base import Task
from distill.tasks.decoder import unit
from distill.tasks.floors import Answer, CosineFloor, Floor, Logits, Numbers
from distill.tasks.measures import Floats, Ids, numbered
from distill.tasks.metrics import Kind
from distill.tasks.regression.task import NumberAnalysis
from distill.tasks.scorers import Scorer
from distill.tasks.vectors.data import SimilarityReader, VectorSplit
from distill.tasks.vectors.scores import (
    RETRIEVAL,
    PairCorrelation,
    RetrievalScore,
    by_query,
)
from students.pooling import POOLING

logger = logging.getLogger("distill")

#: Cosines are multiplied by it in the loss, as in CoSENT.
SCALE = 20.0
#: Most queries of a split that the floor of retrieval is computed for: its vectors are as wide.
_MOST_QUERIES = 4000


def cosent_loss(vectors: Tensor, similarities: Tensor) -> Tensor:
    r"""Pairs in the wrong order, softly counted, in fp32.

    :math:`\log(1 + \sum_{y_i > y_j} e^{20 (\cos_j - \cos_i)})` over the pairs i and j of the batch,
    of which y are the given similarities: only their order counts, on whatever scale they are.

    Args:
        vectors: the first and second sentence of each pair, one behind the other, (2 P, D).
        similarities: of the pair that each belongs to, (2 P,).

    Raises:
        DataError: the sentences are not in pairs, or have no similarities.

    Reference:
        Su 2022, CoSENT: Sentence Embedding via a Cosine Ranking Loss.
    """
    if len(vectors) % 2 or similarities.isnan().any():
        raise DataError(
            "training on similarities needs pairs with a score in data.columns.label; leave "
            "teacher.finetune out and write baseline: false"
        )
    both = F.normalize(vectors.float(), dim=-1).view(len(vectors) // 2, 2, -1)  # (P, 2, D)
    cosines = SCALE * (both[:, 0] * both[:, 1]).sum(dim=-1)  # (P,)
    given = similarities[::2]  # (P,)
    wrong = (cosines[None, :] - cosines[:, None])[given[:, None] > given[None, :]]
    return torch.logsumexp(torch.cat([wrong.new_zeros(1), wrong]), dim=0)


class CosineAnalysis(NumberAnalysis):
    """The cosine of each of N pairs."""

    def __init__(self, task: Task, split: VectorSplit) -> None:
        super().__init__(task, split)
        self.names = ("cosine",)
        self.targets = np.asarray(split.labels, dtype=np.float32)
        #: Of queries and passages: each query's first pair and what it scores, by model.
        self.values: dict[str, tuple[Ids, Floats]] = {}
        self.retrieves = task.primary in RETRIEVAL

    def keeper(self, model: str, task: Task, rows: TokenExamples) -> Keep | None:
        """Vectors (F, D) of sentences, two for each pair."""
        vectors: list[npt.NDArray[np.float32]] = []
        places: list[npt.NDArray[np.int64]] = []

        def keep(logits: npt.NDArray[np.float32], batch: Mapping[str, Any]) -> None:
            vectors.append(unit(logits))
            places.append(np.asarray(batch["index"]))
            if sum(map(len, places)) == 2 * len(self):  # all of them: only cosines are kept
                both = np.empty((2 * len(self), logits.shape[1]), dtype=np.float32)
                both[np.concatenate(places)] = np.concatenate(vectors)
                if self.retrieves:
                    self.values[model] = self._by_query(both)
                self.outputs[model] = (both[::2] * both[1::2]).sum(axis=1, keepdims=True)
                vectors.clear()

        return keep

    def _by_query(self, vectors: npt.NDArray[np.float32]) -> tuple[Ids, Floats]:
        both = zip(self.split.texts, self.split.pairs or (), strict=True)
        texts = numbered(f"{side} {text}" for pair in both for side, text in enumerate(pair))
        return by_query(self.task.primary, vectors, texts, self.targets.astype(np.float64))

    def scorer(self, model: str) -> Scorer | None:
        """Of queries the mean over those whose pair is drawn."""
        if not self.retrieves:
            return super().scorer(model)
        return self._mean(*self.values[model])

    def majority(self, train: Split) -> Scorer | None:
        """All cosines the same, which is a random order."""
        if not self.retrieves:
            return super().majority(train)
        return self._mean(*self._by_query(np.zeros((2 * len(self), 1), dtype=np.float32)))

    def _mean(self, pairs: Ids, values: Floats) -> Scorer:
        counted, summed = np.zeros(len(self)), np.zeros(len(self))
        counted[pairs], summed[pairs] = 1, values
        return lambda drawn: (drawn @ summed) / np.maximum(drawn @ counted, 1)

    def prediction(self, model: str, index: int) -> dict[str, Any]:
        return {"prediction": f"{float(self.outputs[model][index, 0]):.3f}", "confidence": None}

    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        """How far apart a pair's places in both orders are.

        Cosines of two models are on scales of their own: only their order is compared.
        """
        theirs, own = (
            self.outputs[name][:, 0].argsort(kind="stable").argsort(kind="stable")
            for name in (teacher, model)
        )
        apart = np.abs(theirs - own).astype(np.float64)
        return np.where(apart > 0, apart, -np.inf)


class SimilarityFloor(CosineFloor):
    """How alike the two texts of a pair are in their words."""

    def on(self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast) -> Answer:
        """Vectors (B, 2) with the cosine that a pair's TF-IDFs have.

        The TF-IDFs themselves have a hundred thousand dimensions.
        """
        pairs = split.pairs or []

        def answer(numbers: Numbers, length: int) -> Logits:
            asked = (numbers // 2).tolist()
            cosines = self.features.cosines(
                [split.texts[pair] for pair in asked], [pairs[pair] for pair in asked]
            ).clip(0, 1)
            first = numbers % 2 == 0
            angles = np.where(first, 0.0, np.arccos(cosines))
            return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

        return answer


class RetrievalFloor(CosineFloor):
    """The same cosines, of every query with every passage."""

    def on(self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast) -> Answer:
        r"""Vectors (B, Q + 1) whose products are these cosines over √Q.

        Query i is the unit vector :math:`e_i`, a passage its cosines c with the Q queries and
        :math:`\sqrt{Q - |c|^2}`, which makes all of them equally long.
        """
        passages = split.pairs or []
        asked = numbered(split.texts)  # (N,)
        queries = list(dict.fromkeys(split.texts))

        def answer(numbers: Numbers, length: int) -> Logits:
            found = np.zeros((len(numbers), len(queries) + 1), dtype=np.float32)
            first = numbers % 2 == 0
            found[np.flatnonzero(first), asked[numbers[first] // 2]] = 1
            texts = [passages[pair] for pair in (numbers[~first] // 2).tolist()]
            if texts:
                cosines = self.features.similarities(texts, queries)
                rest = np.sqrt(len(queries) - np.square(cosines).sum(axis=1, keepdims=True))
                found[~first] = np.concatenate([cosines, rest], axis=1)
            return found

        return answer


class Vectors(Task):
    """Sentence vectors, scored by how their cosines follow given similarities of pairs.

    Every text is a row of its own: sentence 2k is the first one of pair k and 2k + 1 the second.
    Metrics: ``spearman`` and ``pearson``; of queries and passages ``ndcg@10``, ``mrr@10`` and
    ``recall@10``, each query's over all passages of the split.
    """

    kind: ClassVar[str] = "vectors"
    reader: ClassVar[type[Reader]] = SimilarityReader
    head: ClassVar[str] = "vectors"
    fixed_labels: ClassVar[tuple[str, ...] | None] = ()
    objective: str = "similarity"

    def prepare(self, examples: Sequence[Any]) -> None:
        self.retrieves: bool = self.config.retrieves
        self.short_widths = tuple(self.config.matryoshka)
        self.keep_projection = self.config.keep_projection
        if self.keep_projection:
            self.objective = "vector"  # similarities are the same in any space

    @classmethod
    def of_model(cls, labels: Sequence[str], config: Any) -> tuple[list[str], dict[str, Any]]:
        pooling = getattr(config, POOLING, None)
        return [], {} if pooling is None else {"pooling": pooling, "normalize": True}

    @property
    def settings(self) -> dict[str, Any]:
        own = self.config
        found: dict[str, Any] = {"pooling": own.pooling, "normalize": own.normalize}
        found |= {"matryoshka": list(self.short_widths)} if self.short_widths else {}
        return found | ({"prompts": own.prompts.model_dump()} if own.prompts else {})

    @property
    def model_settings(self) -> dict[str, Any]:
        return {POOLING: self.config.pooling}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See :func:`cosent_loss`, the mean over the widths: the sampler keeps pairs together."""
        parts = [cosent_loss(one, labels) for one in shortened(logits, self.short_widths)]
        return torch.stack(parts).mean()

    def floor(self, data: TaskData) -> Floor | None:
        texts = [*data.train.texts, *(data.train.pairs or ())]
        if not self.retrieves:
            return SimilarityFloor(texts)
        most = max(len(set(s.texts)) for s in (data.validation, data.test) if s is not None)
        if most > _MOST_QUERIES:
            logger.warning(
                "linear: left out, as it is computed for up to %s queries and there are %s",
                f"{_MOST_QUERIES:,}",
                f"{most:,}",
            )
            return None
        return RetrievalFloor(texts)

    def analysis(
        self, split: Any, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast
    ) -> CosineAnalysis | None:
        return CosineAnalysis(self, split) if split.scored else None

    def scores(self) -> dict[str, Metric]:
        make: Callable[..., Metric] = RetrievalScore if self.retrieves else PairCorrelation
        found = {kind: make(kind) for kind in (RETRIEVAL if self.retrieves else get_args(Kind))}
        for width in self.short_widths:
            found[f"{self.primary}@{width}"] = make(self.primary, width=width)
        return found

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        texts = [batch["text"]] if self.retrieves else []
        metrics.update(logits, batch["index"], batch["labels"], *texts)


TASK = Vectors
