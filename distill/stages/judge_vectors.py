"""What the evaluation keeps of sentence vectors: the cosine of every pair.

Legend: N pairs, F sentences of a batch, D width of the vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.data.split import Split
from distill.data.tokenized import TokenRows
from distill.evaluation import predictions
from distill.evaluation.bootstrap import Scorer, mean_scorer
from distill.evaluation.predictions import Predictions, write_predictions
from distill.evaluation.results import TEACHER
from distill.evaluation.score import Seen
from distill.evaluation.scorers import row_scorer
from distill.stages.judge import MOST_ROWS, Judge, write_disagreements
from distill.tasks.base import Task
from distill.tasks.decoder import unit
from distill.tasks.vectors.data import VectorSplit


class VectorJudge(Judge):
    """Keeps the cosine of every pair; of a model the vectors too, until it is scored.

    Args:
        split: the scored pairs.
        metric: the task's.
    """

    def __init__(self, split: VectorSplit, metric: str) -> None:
        self.split, self.metric = split, metric
        targets = np.asarray(split.labels, dtype=np.float32)
        self.found = Predictions("vectors", ("cosine",), targets)
        self._vectors: dict[str, npt.NDArray[np.float32]] = {}

    def keeper(self, model: str, task: Task, rows: TokenRows) -> Seen | None:
        """See :meth:`Judge.keeper`: vectors (F, D) of sentences, two for each pair."""
        del task, rows

        def keep(vectors: npt.NDArray[np.float32], batch: Mapping[str, Any]) -> None:
            if model not in self._vectors:
                shape = (2 * len(self.split), vectors.shape[1])
                self._vectors[model] = np.zeros(shape, dtype=np.float32)
            self._vectors[model][np.asarray(batch["index"])] = unit(vectors)

        return keep

    def of_model(self, model: str) -> dict[str, Any]:
        """Nothing; the pairs' cosines take the place of the vectors."""
        both = self._vectors.pop(model).reshape(len(self.split), 2, -1)  # (N, 2, D)
        self.found.outputs[model] = (both[:, 0] * both[:, 1]).sum(axis=1, keepdims=True)
        return {}

    @property
    def rows(self) -> int:
        """See :meth:`Judge.rows`: pairs."""
        return len(self.split)

    def scorer(self, model: str) -> Scorer | None:
        """See :meth:`Judge.scorer`."""
        return row_scorer(self.found, model, self.metric)

    def majority(self, train: Split) -> Scorer | None:
        """The same cosine everywhere, which follows nothing."""
        del train
        return mean_scorer(np.zeros(self.rows))

    def write(self, folder: Path) -> list[Path]:
        """See :meth:`Judge.write`: the pairs whose places in the two orders are furthest apart."""
        final = list(self.found.outputs)[-1]
        write_predictions(folder / predictions.FILE, self.found)
        # Cosines of two models are on scales of their own: only their order is compared.
        ranks = [_ranks(self.found.outputs[name][:, 0]) for name in (TEACHER, final)]
        apart = np.abs(ranks[0] - ranks[1])
        order = np.argsort(-apart, kind="stable")[:MOST_ROWS].tolist()
        rows = [row for row in order if apart[row] > 0]
        return [folder / predictions.FILE, write_disagreements(folder, final, rows, self._row)]

    def _row(self, row: int, roles: Mapping[str, str]) -> dict[str, Any]:
        return {
            "row": row,
            "text": self.split.texts[row],
            "text_pair": (self.split.pairs or [])[row],
            "label": f"{float(self.split.labels[row]):g}",
            **{
                role: {"said": f"{float(self.found.outputs[name][row, 0]):.3f}", "confidence": None}
                for role, name in roles.items()
            },
        }


def _ranks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The place of each value in their order, (N,)."""
    found: npt.NDArray[np.int64] = values.argsort(kind="stable").argsort(kind="stable")
    return found
