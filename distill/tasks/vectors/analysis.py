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
from distill.tasks.regression.analysis import NumberAnalysis

if TYPE_CHECKING:
    from distill.tasks.base import Task


class CosineAnalysis(NumberAnalysis):
    """The cosine of each pair; see :class:`~distill.tasks.analysis.Analysis`."""

    def __init__(self, task: Task, split: Split) -> None:
        super().__init__(task, split)
        self.names = ("cosine",)
        self.targets = np.asarray(split.labels, dtype=np.float32)

    def keeper(self, model: str, task: Task, rows: TokenExamples) -> Keep | None:
        """See :meth:`Analysis.keeper`: vectors (F, D) of sentences, two for each pair."""
        del task, rows
        vectors: list[npt.NDArray[np.float32]] = []
        places: list[npt.NDArray[np.int64]] = []

        def keep(logits: npt.NDArray[np.float32], batch: Mapping[str, Any]) -> None:
            vectors.append(unit(logits))
            places.append(np.asarray(batch["index"]))
            if sum(map(len, places)) == 2 * len(self):  # all of them: only cosines are kept
                both = np.empty((2 * len(self), logits.shape[1]), dtype=np.float32)
                both[np.concatenate(places)] = np.concatenate(vectors)
                self.outputs[model] = (both[::2] * both[1::2]).sum(axis=1, keepdims=True)
                vectors.clear()

        return keep

    def prediction(self, model: str, index: int) -> dict[str, Any]:
        """See :meth:`Analysis.prediction`."""
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
