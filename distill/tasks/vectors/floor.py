"""The cosine of two TF-IDFs: the floor of sentence vectors.

Legend: B sentences of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split
from distill.data.tokenized import TokenRows
from distill.tasks.floors.base import Answer, Floor, Logits, Numbers
from distill.tasks.floors.features import Features


class SimilarityFloor(Floor):
    """The mean cosine of the TF-IDFs by words and by characters of two texts.

    Args:
        train: the training texts, whose pairs are not looked at.
    """

    format: ClassVar[str] = "tf-idf"

    def __init__(self, train: Split) -> None:
        self.features = Features(([*train.texts, *(train.pairs or ())], None))

    def on(self, split: Split, rows: TokenRows, tokenizer: PreTrainedTokenizerFast) -> Answer:
        """See :meth:`Floor.on`: vectors (B, 2) with the cosine that a pair's TF-IDFs have.

        The TF-IDFs themselves have a hundred thousand dimensions.
        """
        del rows, tokenizer
        pairs = split.pairs or []

        def answer(numbers: Numbers, length: int) -> Logits:
            del length
            asked = (numbers // 2).tolist()
            cosines = self.features.cosines(
                [split.texts[pair] for pair in asked], [pairs[pair] for pair in asked]
            ).clip(0, 1)
            first = numbers % 2 == 0
            angles = np.where(first, 0.0, np.arccos(cosines))
            return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

        return answer

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """See :meth:`Floor.arrays`."""
        return self.features.arrays()
