"""Predictions of one label for a text or a pair of texts.

Legend: N texts, C classes, D width of a sentence encoder's vectors, K of those it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.tasks.decoder import Logits, Page, Shares, TextDecoder, Wording, softmax
from distill.tasks.vectors.finish import Finish, read_arrays


class ClassificationDecoder(TextDecoder):
    """The label of every text.

    Where the settings name a ``head``, the graph is a sentence encoder's and the classifier a
    linear one of its vectors: ``logits = v W + b``.
    """

    page = Page("classification")
    words = Wording(gives="one of {labels}")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._finish: Finish | None = None
        if "head" in self.settings:
            self._finish = Finish.of(self.folder, self.settings["vectors"])
            path = self.folder / str(self.settings["head"]["file"])
            head = read_arrays(path, ("weight", "bias"))
            self.weight, self.bias = head["weight"], head["bias"]  # (K, C), (C,)

    def logits(self, raw: Logits) -> Logits:
        if self._finish is None:
            return raw
        return np.asarray(self._finish(raw) @ self.weight + self.bias, dtype=np.float32)

    def outputs(self, logits: Logits) -> Shares:
        return softmax(logits)

    def chosen(self, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        labels: npt.NDArray[np.int64] = outputs.argmax(axis=-1)
        return labels

    def in_words(self, chosen: Any) -> str:
        return self.labels[int(chosen)]

    def explained(self, label: str) -> tuple[str, Callable[[Any], Any]]:
        """The label's logit minus the mean of the others'; with two labels it is the log-odds.

        Unlike the logit alone it stays the same when all logits move together.
        """
        at = self.labels.index(label)
        if len(self.labels) == 1:
            return f"the log-odds of '{label}'", lambda logits: logits[:, at]
        others = [index for index in range(len(self.labels)) if index != at]
        words = f"the logit of '{label}' minus the mean of the other labels' logits"
        if len(self.labels) == 2:
            words = f"the log-odds of '{label}' against '{self.labels[others[0]]}'"
        return words, lambda logits: logits[:, at] - logits[:, others].mean(-1)

    def decode(self, outputs: Shares) -> list[dict[str, Any]]:
        """Per text ``{"label": name, "probabilities": {name: p}}``."""
        return [
            {
                "label": self.labels[int(label)],
                "probabilities": dict(zip(self.labels, row.tolist(), strict=True)),
            }
            for label, row in zip(self.chosen(outputs), outputs, strict=True)
        ]

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``positive   98.1%``."""
        label = prediction["label"]
        return f"{label}  {prediction['probabilities'][label]:6.1%}"


DECODER = ClassificationDecoder
