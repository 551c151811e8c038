"""Cosines of pairs of sentence vectors.

Legend: N pairs, F sentences of a batch, D width of the vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distill.data.split import Split
from distill.data.tokenized import TokenExamples
from distill.tasks.analysis import Keep
from distill.tasks.decoder import unit
from distill.tasks.measures import Floats
from distill.tasks.regression.task import NumberAnalysis
from distill.tasks.scorers import Scorer
from distill.tasks.vectors.retrieval import RETRIEVAL, Ids, by_query, numbered

if TYPE_CHECKING:
    from distill.tasks.base import Task


class CosineAnalysis(NumberAnalysis):
    """The cosine of each pair; see :class:`~distill.tasks.analysis.Analysis`."""

    def __init__(self, task: Task, split: Split) -> None:
        super().__init__(task, split)
        self.names = ("cosine",)
        self.targets = np.asarray(split.labels, dtype=np.float32)
        #: Of queries and passages: each query's first pair and what it scores, by model.
        self.values: dict[str, tuple[Ids, Floats]] = {}
        self.retrieves = task.primary in RETRIEVAL

    def keeper(self, model: str, task: Task, rows: TokenExamples) -> Keep | None:
        """See :meth:`Analysis.keeper`: vectors (F, D) of sentences, two for each pair."""
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
        """See :meth:`Analysis.scorer`: of queries the mean over those whose pair is drawn."""
        if not self.retrieves:
            return super().scorer(model)
        return self._mean(*self.values[model])

    def majority(self, train: Split) -> Scorer | None:
        """See :meth:`Analysis.majority`: all cosines the same, which is a random order."""
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
        """See :meth:`Analysis.difference`: how far apart a pair's places in both orders are.

        Cosines of two models are on scales of their own: only their order is compared.
        """
        theirs, own = (
            self.outputs[name][:, 0].argsort(kind="stable").argsort(kind="stable")
            for name in (teacher, model)
        )
        apart = np.abs(theirs - own).astype(np.float64)
        return np.where(apart > 0, apart, -np.inf)
