"""A number for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distill.runtime.model import SentenceModel


class Regressor(SentenceModel):
    """A regression's bundle; see :class:`~distill.runtime.model.BundleModel`."""

    task: ClassVar[str] = "regression"

    def told(self, logits: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
        """The number of every text; see :meth:`SentenceModel.told`.

        Returns:
            Per text ``{"score": number}``: the model's output, or its sigmoid where the bundle
            says so (``activation``), clipped to the scale that the task names.
        """
        found = logits[:, 0].astype(np.float64)  # (N,)
        if self.manifest.settings.get("activation") == "sigmoid":
            found = 1.0 / (1.0 + np.exp(-np.clip(found, -700, 700)))
        bounds = self.manifest.settings.get("bounds")
        if bounds is not None:
            found = np.clip(found, *bounds)
        return [{"score": float(number)} for number in found]

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``3.412``."""
        return f"{prediction['score']:.3f}"
