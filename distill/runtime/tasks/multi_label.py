"""Any number of labels for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distill.runtime.model import SentenceModel

# Legend: N texts, C labels.


class MultiLabelClassifier(SentenceModel):
    """A bundle of several labels; see :class:`~distill.runtime.model.BundleModel`."""

    task: ClassVar[str] = "multi_label"

    def told(self, logits: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
        """The labels of every text; see :meth:`SentenceModel.told`.

        Returns:
            Per text ``{"labels": [name, ...], "probabilities": {name: p}}``: the labels whose
            probability is above their threshold, the likeliest first.
        """
        bars = np.asarray(self.manifest.settings.get("thresholds") or [0.5] * len(self.labels))
        return [self._chosen(row, bars) for row in sigmoid(logits)]

    def _chosen(
        self, row: npt.NDArray[np.float64], bars: npt.NDArray[np.float64]
    ) -> dict[str, Any]:
        chosen = [index for index in np.argsort(-row, kind="stable") if row[index] > bars[index]]
        return {
            "labels": [self.labels[index] for index in chosen],
            "probabilities": dict(zip(self.labels, row.tolist(), strict=True)),
        }

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``sport 91.2%, news 60.3%``, or ``-`` where no label is over its threshold."""
        shares = prediction["probabilities"]
        return ", ".join(f"{name} {shares[name]:.1%}" for name in prediction["labels"]) or "-"


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Probabilities of logits, each by itself, in double precision."""
    found: npt.NDArray[np.float64] = 0.5 * (1 + np.tanh(logits.astype(np.float64) / 2))
    return found
