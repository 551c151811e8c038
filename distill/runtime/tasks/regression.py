"""A number for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from distill.runtime.model import BundleModel


class Regressor(BundleModel):
    """A regression's bundle; see :class:`~distill.runtime.model.BundleModel`."""

    task: ClassVar[str] = "regression"

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[dict[str, Any]]:
        """Predict the number of every text; see :meth:`BundleModel.predict`.

        Returns:
            Per text ``{"score": number}``, clipped to the scale that the task names.
        """
        found = self.logits(texts, pairs, batch_size=batch_size, instances=instances)[:, 0]  # (N,)
        bounds = self.manifest.settings.get("bounds")
        if bounds is not None:
            found = np.clip(found, *bounds)
        return [{"score": float(number)} for number in found]

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``3.412``."""
        return f"{prediction['score']:.3f}"
