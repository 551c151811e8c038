"""Predictions of a number for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.tasks.decoder import Logits, Page, Scatter, Shares, TextDecoder, Wording, sigmoid


class RegressionDecoder(TextDecoder):
    """The number of every text."""

    probabilities = False
    named_outputs = False
    page = Page("regression")
    words = Wording(
        gives="a number (`score`)",
        tag="regression",
        majority="the mean of the numbers",
        limit="It answers with a number, whatever it is given, and not with how sure it is.",
        differ="The examples where {model} is furthest from the teacher.",
        scatter=Scatter("Predicted against true", "true", "predicted", same_scale=True),
    )

    def outputs(self, logits: Logits) -> Shares:
        """The head's output, or its sigmoid where the settings' ``activation`` says so."""
        if self.settings.get("activation") == "sigmoid":
            return sigmoid(logits)
        return logits.astype(np.float64)

    def chosen(self, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return outputs[:, 0]

    def in_words(self, chosen: Any) -> str:
        return f"{float(chosen):.3f}"

    def explained(self, label: str) -> tuple[str, Callable[[Any], Any]]:
        return "the predicted value", lambda logits: logits[:, 0]

    def decode(self, outputs: Shares) -> list[dict[str, Any]]:
        """Per text ``{"score": number}``, clipped to the scale that the task names."""
        scores = self.chosen(outputs)
        bounds = self.settings.get("bounds")
        if bounds is not None:
            scores = np.clip(scores, *bounds)
        return [{"score": float(score)} for score in scores]

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``3.412``."""
        return self.in_words(prediction["score"])


DECODER = RegressionDecoder
