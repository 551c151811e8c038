"""The order of each query's candidates, and where another one comes first than the teacher's.

Legend: N queries, F candidates of all queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distill.data.split import Split
from distill.data.tokenized import TokenExamples
from distill.tasks.analysis import Analysis, Array, Flags, Keep
from distill.tasks.measures import MEASURES, Floats, by_query
from distill.tasks.ranking.data import RankingSplit
from distill.tasks.scorers import Scorer, mean_scorer

if TYPE_CHECKING:
    from distill.tasks.base import Task

_SHOWN = 160  # characters of a candidate


class RankingAnalysis(Analysis):
    """The scores of all candidates; see :class:`~distill.tasks.analysis.Analysis`."""

    def __init__(self, task: Task, split: RankingSplit) -> None:
        super().__init__(task, split)
        self.queries = split
        self.ends = np.cumsum(split.sizes)  # (N,)

    def keeper(self, model: str, task: Task, rows: TokenExamples) -> Keep | None:
        kept = np.zeros((int(self.ends[-1]), 1), dtype=np.float32)
        self.outputs[model] = kept

        def keep(logits: npt.NDArray[np.float32], batch: Mapping[str, Any]) -> None:
            kept[np.asarray(batch["index"])] = logits

        return keep

    def shared(self) -> dict[str, Array]:
        """See :meth:`Analysis.shared`: the candidates of each query and their relevances."""
        return {"sizes": self.queries.sizes, "targets": self.queries.relevance}

    def _values(self, scores: npt.NDArray[np.floating]) -> Floats:
        """The task's metric of each query, (N,)."""
        measure = MEASURES[self.task.primary]
        return by_query(measure, scores, self.queries.relevance, self.ends)

    def scorer(self, model: str) -> Scorer | None:
        return mean_scorer(self._values(self.outputs[model][:, 0]))

    def majority(self, train: Split) -> Scorer | None:
        """See :meth:`Analysis.majority`: all candidates alike, which is a random order."""
        return mean_scorer(self._values(np.zeros(int(self.ends[-1]))))

    def _first(self, model: str, index: int) -> int:
        """The place of the candidate with the highest score; of several the least relevant."""
        end = int(self.ends[index])
        scores = self.outputs[model][end - int(self.queries.sizes[index]) : end, 0]
        tied = np.flatnonzero(scores == scores.max())
        return int(tied[np.asarray(self.queries.labels[index])[tied].argmin()]) if len(tied) else 0

    def _firsts(self, model: str) -> npt.NDArray[np.int64]:
        return np.array([self._first(model, index) for index in range(len(self))])

    def right(self, model: str) -> Flags:
        """See :meth:`Analysis.right`: none is more relevant than the first one."""
        chosen = zip(self.queries.labels, self._firsts(model).tolist(), strict=True)
        return np.array([0 < own[first] == max(own) for own, first in chosen])

    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        """See :meth:`Analysis.difference`: what a query's score loses where the first differ."""
        differ = self._firsts(teacher) != self._firsts(model)
        theirs, own = (self._values(self.outputs[name][:, 0]) for name in (teacher, model))
        return np.where(differ, theirs - own, -np.inf)

    def example(self, index: int) -> dict[str, Any]:
        """See :meth:`Analysis.example`: its label is the most relevant candidates."""
        own = self.queries.labels[index]
        texts = zip(self.queries.candidates[index], own, strict=True)
        best = [_short(text) for text, number in texts if 0 < number == max(own)]
        return {
            "row": index,
            "text": self.queries.texts[index],
            "label": " / ".join(best) or "(none is relevant)",
        }

    def prediction(self, model: str, index: int) -> dict[str, Any]:
        """See :meth:`Analysis.prediction`: the first candidate."""
        first, own = self._first(model, index), self.queries.labels[index]
        return {
            "prediction": _short(self.queries.candidates[index][first]),
            "confidence": None,
            "right": 0 < own[first] == max(own),
        }


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
