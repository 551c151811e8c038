"""Which checkpoint is the best."""

from __future__ import annotations

import math

from distill.modules.selection import Selection


def test_the_first_of_equal_scores_is_the_best() -> None:
    best = Selection()
    assert [best.offer(score, step) for step, score in enumerate([0.1, 0.3, 0.3, math.nan])] == [
        True, True, False, False,
    ]  # fmt: skip
    assert (best.score, best.step, best.worse) == (0.3, 1, 2)


def test_a_score_that_is_not_defined_is_worse_than_any_that_is() -> None:
    best = Selection()
    assert best.offer(0.0, 1, defined=False)
    assert best.offer(-0.2, 2)
    assert not best.offer(0.0, 3, defined=False)
    assert best.offer(-0.1, 4)
    assert (best.score, best.step) == (-0.1, 4)
