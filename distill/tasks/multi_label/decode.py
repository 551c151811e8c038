"""Predictions of any number of labels for a text or a pair of texts.

Legend: N texts, C labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from distill.tasks.decoder import Logits, Shares, TextDecoder, sigmoid


class MultiLabelDecoder(TextDecoder):
    """The labels of every text; see :class:`~distill.tasks.decoder.Decoder`."""

    def decode(self, logits: Logits) -> list[dict[str, Any]]:
        """Per text ``{"labels": [name, ...], "probabilities": {name: p}}``.

        The labels are those whose probability is above their threshold, the likeliest first.
        """
        thresholds = np.asarray(self.settings.get("thresholds") or [0.5] * len(self.labels))
        return [self._above(row, thresholds) for row in sigmoid(logits)]

    def _above(self, row: Shares, thresholds: Shares) -> dict[str, Any]:
        order = np.argsort(-row, kind="stable")
        return {
            "labels": [self.labels[k] for k in order if row[k] > thresholds[k]],
            "probabilities": dict(zip(self.labels, row.tolist(), strict=True)),
        }

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``sport 91.2%, news 60.3%``, or ``-`` where no label is over its threshold."""
        shares = prediction["probabilities"]
        return ", ".join(f"{name} {shares[name]:.1%}" for name in prediction["labels"]) or "-"


DECODER = MultiLabelDecoder
