"""Predictions of one label for a text or a pair of texts.

Legend: N texts, C classes, D width of a sentence encoder's vectors, K of those it gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distill.tasks.decoder import Logits, TextDecoder, softmax
from distill.tasks.vectors.finish import Finish
from distill.tasks.vectors.whitening import read_arrays


class ClassificationDecoder(TextDecoder):
    """The label of every text; see :class:`~distill.tasks.decoder.Decoder`.

    Where the settings name a ``head``, the graph is a sentence encoder's and the classifier a
    linear one of its vectors: ``logits = v W + b``.
    """

    def __init__(
        self, labels: Sequence[str], settings: Mapping[str, Any], *, max_length: int, folder: Path
    ) -> None:
        super().__init__(labels, settings, max_length=max_length, folder=folder)
        self._finish: Finish | None = None
        if "head" in settings:
            self._finish = Finish.of(folder, settings["vectors"])
            head = read_arrays(folder / str(settings["head"]["file"]), ("weight", "bias"))
            self.weight, self.bias = head["weight"], head["bias"]  # (K, C), (C,)

    def logits(self, raw: Logits) -> Logits:
        """Logits (N, C); see :meth:`Decoder.logits`."""
        if self._finish is None:
            return raw
        return np.asarray(self._finish(raw) @ self.weight + self.bias, dtype=np.float32)

    def decode(self, logits: Logits) -> list[dict[str, Any]]:
        """Per text ``{"label": name, "probabilities": {name: p}}``."""
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


DECODER = ClassificationDecoder
