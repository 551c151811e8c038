"""Predictions of a number for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.tasks.decoder import Logits, TextDecoder, sigmoid


class RegressionDecoder(TextDecoder):
    """The number of every text; see :class:`~distill.tasks.decoder.Decoder`."""

    def decode(self, logits: Logits) -> list[dict[str, Any]]:
        """Per text ``{"score": number}``, clipped to the scale that the task names.

        It is the model's output, or its sigmoid where the settings' ``activation`` says so.
        """
        scores: npt.NDArray[Any] = logits[:, 0]  # (N,)
        if self.settings.get("activation") == "sigmoid":
            scores = sigmoid(scores)
        bounds = self.settings.get("bounds")
        if bounds is not None:
            scores = np.clip(scores, *bounds)
        return [{"score": float(score)} for score in scores]

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``3.412``."""
        return f"{prediction['score']:.3f}"


DECODER = RegressionDecoder
