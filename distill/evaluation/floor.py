"""A task's floor, scored and timed like every model."""

from __future__ import annotations

from dataclasses import dataclass

from distill.evaluation.predictors import Batch, Logits
from distill.evaluation.results import LINEAR
from distill.tasks.floors.base import Answer


@dataclass
class FloorPredictor:
    """What answers to the rows that a batch's ``index`` names, from their texts.

    Its time thus holds what reading the texts takes, which that of a model on token ids does not.

    Args:
        answer: what the floor answers to rows of one split.
        format: what it is.
        name: what tables call it.
    """

    answer: Answer
    format: str
    name: str = LINEAR

    def __call__(self, batch: Batch) -> Logits:
        """Give logits; see :class:`distill.evaluation.predictors.Predictor`."""
        return self.answer(batch["index"], batch["input_ids"].shape[1])
