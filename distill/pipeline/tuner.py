"""NNI's tuners and assessors, asked and told in this process."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from distill.recipe.schema import Search

#: Individuals of the evolution: few, so that a search of twenty trials has generations.
_POPULATION = 6
_FIRST_EVALUATION = 1


class Tuner:
    """Proposes values for a search's space and learns what came of them.

    Its draws depend on the search's seed and on what it was told, in order, and on nothing else.

    Args:
        search: the space, the strategy and the seed.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        space = {
            key: _as_nni(getattr(one, one.kind), one.kind) for key, one in search.space.items()
        }
        with _quiet(), self._seeded("space"):
            self._tuner = _make(search)
            self._tuner.update_search_space(space)
            if search.strategy == "evolution":
                self._seed_evolution()

    def propose(self, number: int) -> dict[str, int | float] | None:
        """Values for a trial, by setting (of a choice its place); ``None``: there are no more.

        Args:
            number: the trial's, from 0.
        """
        import nni

        try:
            with _quiet(), self._seeded(f"propose {number}"):
                found = self._tuner.generate_parameters(number)
        except nni.NoMoreTrialError:
            return None
        return {key: self._search.space[key].typed(value) for key, value in found.items()}

    def learn(self, number: int, value: float) -> None:
        """Tell what came of a trial; more is better."""
        with _quiet(), self._seeded(f"learn {number}"):
            self._tuner.receive_trial_result(number, None, value)
            self._tuner.trial_end(number, True)

    def _seed_evolution(self) -> None:
        """Draw the first population again: NNI seeds it by the clock."""
        import numpy as np

        self._tuner.random_state = np.random.RandomState(self._search.seed % 2**32)
        self._tuner.population = []
        for _ in range(self._tuner.population_size):
            self._tuner._random_generate_individual()

    @contextmanager
    def _seeded(self, what: str) -> Iterator[None]:
        """NNI's evolution draws from Python's own generator, which is given back as it was."""
        before = random.getstate()
        random.seed(f"{self._search.seed} {what}")
        try:
            yield
        finally:
            random.setstate(before)


class MedianStop:
    """Which trials are not worth finishing: NNI's median stop.

    A trial is ended where its best score so far is below the median, over the trials that came to
    their end, of the mean of their scores up to the same evaluation.

    Reference:
        Golovin et al. 2017, Google Vizier: A Service for Black-Box Optimization.
    """

    def __init__(self) -> None:
        from nni.algorithms.hpo.medianstop_assessor import MedianstopAssessor

        self._assessor = MedianstopAssessor("maximize", start_step=_FIRST_EVALUATION)

    def stops(self, trial: str, scores: Sequence[float]) -> bool:
        """Whether a trial with these validation scores so far should end."""
        from nni.assessor import AssessResult

        return bool(scores) and self._assessor.assess_trial(trial, list(scores)) == AssessResult.Bad

    def ended(self, trial: str, scores: Sequence[float], *, whole: bool) -> None:
        """A trial is over; ``whole``: it came to its end and is compared with from now on."""
        if scores:
            self._assessor.assess_trial(trial, list(scores))
            self._assessor.trial_end(trial, whole)


def _make(search: Search) -> Any:
    if search.strategy == "tpe":
        from nni.algorithms.hpo.tpe_tuner import TpeTuner

        return TpeTuner(optimize_mode="maximize", seed=search.seed)
    if search.strategy == "random":
        from nni.algorithms.hpo.random_tuner import RandomTuner

        return RandomTuner(seed=search.seed)
    if search.strategy == "grid":
        from nni.algorithms.hpo.gridsearch_tuner import GridSearchTuner

        return GridSearchTuner()
    from nni.algorithms.hpo.evolution_tuner import EvolutionTuner

    return EvolutionTuner(optimize_mode="maximize", population_size=_POPULATION)


def _as_nni(values: Sequence[Any], kind: str) -> dict[str, Any]:
    """A setting's values as NNI has them; a choice by places, as NNI's values are hashed."""
    return {"_type": kind, "_value": list(range(len(values))) if kind == "choice" else list(values)}


@contextmanager
def _quiet() -> Iterator[None]:
    """NNI logs its seeds and warns of its own service, which is not used here."""
    talker = logging.getLogger("nni")
    level = talker.level
    talker.setLevel(logging.ERROR)
    try:
        yield
    finally:
        talker.setLevel(level)
