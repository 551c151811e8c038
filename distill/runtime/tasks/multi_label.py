"""Any number of labels for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distill.runtime.model import BundleModel

# Legend: N texts, C labels.


class MultiLabelClassifier(BundleModel):
    """A bundle of several labels; see :class:`~distill.runtime.model.BundleModel`."""

    task: ClassVar[str] = "multi_label"

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[dict[str, Any]]:
        """Predict the labels of every text; see :meth:`BundleModel.predict`.

        Returns:
            Per text ``{"labels": [name, ...], "probabilities": {name: p}}``: the labels whose
            probability is above their threshold, the likeliest first.
        """
        shares = sigmoid(
            self.logits(texts, pairs, batch_size=batch_size, instances=instances)
        )  # (N, C)
        bars = np.asarray(self.manifest.settings.get("thresholds") or [0.5] * len(self.labels))
        return [self._told(row, bars) for row in shares]

    def _told(self, row: npt.NDArray[np.float64], bars: npt.NDArray[np.float64]) -> dict[str, Any]:
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
