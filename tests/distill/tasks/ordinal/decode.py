from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from distill.tasks.classification.decode import ClassificationDecoder
from distill.tasks.decoder import Wording


class OrdinalDecoder(ClassificationDecoder):
    """The median of the labels' distribution."""

    words = Wording(gives="one of {labels}, in this order", tag="ordinal-regression")

    def chosen(self, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The first label up to which lies half of the probability."""
        return np.asarray((np.cumsum(outputs, axis=-1) < 0.5).sum(axis=-1))


DECODER = OrdinalDecoder
