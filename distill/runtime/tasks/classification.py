"""One label for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distill.runtime.model import SentenceModel

# Legend: N texts, C classes.


class Classifier(SentenceModel):
    """A classifier's bundle; see :class:`~distill.runtime.model.BundleModel`."""

    task: ClassVar[str] = "classification"

    def told(self, logits: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
        """The label of every text; see :meth:`SentenceModel.told`.

        Returns:
            Per text ``{"label": name, "probabilities": {name: p}}``, in the order of the texts.

        Example:
            >>> classifier = load("runs/sst2")  # doctest: +SKIP
            >>> classifier.predict(["a fine film"])[0]["label"]  # doctest: +SKIP
            'positive'
        """
        return [
            {
                "label": self.labels[int(row.argmax())],
                "probabilities": dict(zip(self.labels, row.tolist(), strict=True)),
            }
            for row in softmax(logits)
        ]

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``positive   98.1%``."""
        label = prediction["label"]
        return f"{label}  {prediction['probabilities'][label]:6.1%}"


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Probabilities (..., C) of logits (..., C), in double precision."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True, initial=-np.inf)
    grown = np.exp(shifted)
    shares: npt.NDArray[np.float64] = grown / grown.sum(axis=-1, keepdims=True)
    return shares
