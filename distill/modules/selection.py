"""Which weights are kept: those with the best validation score."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Selection:
    """The best score so far.

    A score must be strictly better to take the place of an earlier one, so that of equal ones the
    first wins, whatever comes after it. A score that is not a number is never better, and one that
    is not defined, which counts as 0, never better than one that is.

    Args:
        score: the best score, or ``None`` before the first evaluation.
        step: the optimiser step it was reached at.
        worse: evaluations since then.
        defined: whether the best score is defined.
    """

    score: float | None = None
    step: int = 0
    worse: int = 0
    defined: bool = False

    def offer(self, score: float, step: int, *, defined: bool = True) -> bool:
        """Take a score into account; whether it is the best so far."""
        if not math.isnan(score) and (
            self.score is None or (defined, score) > (self.defined, self.score)
        ):
            self.score, self.step, self.worse, self.defined = score, step, 0, defined
            return True
        self.worse += 1
        return False

    def is_out_of_patience(self, patience: int | None) -> bool:
        """Whether so many evaluations have passed without a better score."""
        return patience is not None and self.worse >= patience
