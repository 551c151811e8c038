"""Predictions of any number of labels for a text or a pair of texts.

Legend: N texts, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.tasks.decoder import Logits, Page, Shares, TextDecoder, Wording, sigmoid


class MultiLabelDecoder(TextDecoder):
    """The labels of every text."""

    page = Page("multi_label")
    words = Wording(
        gives="any number of {labels}",
        tag="multi-label",
        majority="the commonest labels",
        limit="A label is given above its threshold (`settings` in `distill.json`); texts unlike "
        "the training data get confident answers too.",
        decisions=", each label of each example by itself",
        confidence=("says", "there"),
        differ="Below are examples where {model} and the teacher are furthest apart; a tick marks "
        "who is right.",
    )

    def outputs(self, logits: Logits) -> Shares:
        return sigmoid(logits)

    def chosen(self, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return outputs > np.asarray(self.settings.get("thresholds") or 0.5)

    def in_words(self, chosen: Any) -> str:
        names = [name for name, there in zip(self.labels, chosen, strict=True) if there > 0]
        return ", ".join(names) or "none"

    def explained(self, label: str) -> tuple[str, Callable[[Any], Any]]:
        at = self.labels.index(label)
        return f"the log-odds of '{label}'", lambda logits: logits[:, at]

    def decode(self, outputs: Shares) -> list[dict[str, Any]]:
        """Per text ``{"labels": [name, ...], "probabilities": {name: p}}``, the likeliest first."""
        order = np.argsort(-outputs, axis=-1, kind="stable")  # (N, C)
        return [
            {
                "labels": [self.labels[k] for k in ranked if above[k]],
                "probabilities": dict(zip(self.labels, row.tolist(), strict=True)),
            }
            for ranked, above, row in zip(order, self.chosen(outputs), outputs, strict=True)
        ]

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``sport 91.2%, news 60.3%``, or ``-`` where no label is over its threshold."""
        shares = prediction["probabilities"]
        return ", ".join(f"{name} {shares[name]:.1%}" for name in prediction["labels"]) or "-"


DECODER = MultiLabelDecoder
