"""NNI's tuners and assessors, asked and told in this process."""

from __future__ import annotations

import logging
import math
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal

import numpy as np

from distill.recipe.schema import Search
from distill.recipe.schema.study import ETA
from distill.system.errors import UserError

#: Individuals of the evolution: few, so that a search of twenty trials has generations.
_POPULATION = 6
_FIRST_EVALUATION = 1


class Tuner:
    """Proposes values for a search's space and learns what came of them.

    Its draws depend on the search's seed and on what it was told, in order, and on nothing else.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        space = {
            key: _as_nni(getattr(one, one.kind), one.kind) for key, one in search.space.items()
        }
        with _quiet(), _seeded(f"{search.seed} space"):
            self._tuner = _make(search)
            self._tuner.update_search_space(space)
            if search.strategy == "evolution":
                self._seed_evolution()
            if search.strategy == "anneal":  # NNI seeds it by the clock, too
                self._tuner.rval.rstate = np.random.RandomState(search.seed % 2**32)

    def propose(self, number: int) -> dict[str, int | float] | None:
        """Values for a trial, from 0, by setting (of a choice its place); ``None``: no more."""
        import nni

        try:
            with _quiet(), _seeded(f"{self._search.seed} propose {number}"):
                found = self._tuner.generate_parameters(number)
        except nni.NoMoreTrialError:
            return None
        values = {key: one.typed(found[key]) for key, one in self._search.space.items()}
        for key, (least, _) in self._search.budget.items():
            values[key] = least * found["TRIAL_BUDGET"]
        return values

    def learn(self, number: int, value: float) -> None:
        """Tell what came of a trial; more is better."""
        with _quiet(), _seeded(f"{self._search.seed} learn {number}"):
            self._tuner.receive_trial_result(number, None, value)
            self._tuner.trial_end(number, True)

    def _seed_evolution(self) -> None:
        """Draw the first population again: NNI seeds it by the clock."""
        self._tuner.random_state = np.random.RandomState(self._search.seed % 2**32)
        self._tuner.population = []
        for _ in range(self._tuner.population_size):
            self._tuner._random_generate_individual()


class Assessor:
    """Which trials are not worth finishing, by one of NNI's assessors.

    ``median``: a trial is ended where its best score so far is below the median, over the trials
    that came to their end, of the mean of their scores up to the same evaluation. ``curve``: where
    the curve fitted to its scores, at the last evaluation of those trials, is below 95 % of their
    best.

    Reference:
        Golovin et al. 2017, Google Vizier: A Service for Black-Box Optimization; Domhan et al.
        2015, Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks by
        Extrapolation of Learning Curves.
    """

    def __init__(self, kind: Literal["median", "curve"]) -> None:
        if kind == "median":
            from nni.algorithms.hpo.medianstop_assessor import MedianstopAssessor

            self._assessor = MedianstopAssessor("maximize", start_step=_FIRST_EVALUATION)
        else:
            from nni.algorithms.hpo.curvefitting_assessor import CurvefittingAssessor

            self._assessor = CurvefittingAssessor(epoch_num=1)

    def stops(self, trial: str, scores: Sequence[float]) -> bool:
        from nni.assessor import AssessResult

        return bool(scores) and self._assess(trial, scores) == AssessResult.Bad

    def ended(self, trial: str, scores: Sequence[float], *, whole: bool) -> None:
        """A trial is over; ``whole``: it came to its end and is compared with from now on."""
        if scores:
            self._assess(trial, scores)
            self._assessor.trial_end(trial, whole)
            if whole and hasattr(self._assessor, "target_pos"):
                self._assessor.target_pos = max(self._assessor.target_pos, len(scores))

    def _assess(self, trial: str, scores: Sequence[float]) -> Any:
        # Curves that cannot be fitted are normal, and the fit samples with numpy's generator.
        with _quiet(), _seeded(trial), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return self._assessor.assess_trial(trial, list(scores))


class _Hyperband:
    """NNI's brackets without its advisor, which only works with a manager beside it.

    Each bracket draws settings for short trainings, and has the best third of them trained three
    times longer, until the most (the least being 1); the next begins with fewer and longer ones.

    Reference:
        Li et al. 2018, Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization.
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._random = most, np.random.RandomState(seed % 2**32)
        self._longest = math.floor(math.log(most, ETA) + 1e-6)
        self._brackets: list[Any] = []
        #: Settings to be tried, and those under way by trial: bracket, NNI's name, values.
        self._waiting: list[tuple[int, str, dict[str, Any]]] = []
        self._begun: dict[int, tuple[int, str]] = {}

    def update_search_space(self, space: dict[str, Any]) -> None:
        self._space = space

    def generate_parameters(self, number: int) -> dict[str, Any]:
        from nni.algorithms.hpo.hyperband_advisor import Bracket

        if not self._waiting:
            count = len(self._brackets)
            halvings = self._longest - count % (self._longest + 1)
            bracket = Bracket(str(count), halvings, self._longest, ETA, self._most, "maximize")
            self._brackets.append(bracket)
            settings = bracket.get_n_r()
            self._add(
                count,
                bracket.get_hyperparameter_configurations(*settings, self._space, self._random),
            )
        bracket, name, values = self._waiting.pop(0)
        self._begun[number] = bracket, name
        return values

    def receive_trial_result(self, number: int, _: object, value: float) -> None:
        bracket, name = self._begun[number]
        self._brackets[bracket].set_config_perf(_round(name), name, 0, value)

    def trial_end(self, number: int, _: bool) -> None:
        """A trial is over; the last of its round brings the next round."""
        bracket, name = self._begun.pop(number)
        self._add(bracket, self._brackets[bracket].inform_trial_end(_round(name)) or [])

    def _add(self, bracket: int, settings: Sequence[tuple[str, dict[str, Any]]]) -> None:
        # Copied, as the bracket goes on to write the next round's budget into its own.
        self._waiting += [(bracket, name, dict(values)) for name, values in settings]


def _round(name: str) -> int:
    """The round in a bracket of settings that NNI calls ``BRACKET_ROUND_NUMBER``."""
    return int(name.split("_")[1])


def _make(search: Search) -> Any:
    def of_nni(module: str, name: str, **settings: Any) -> Any:
        return getattr(import_module(f"nni.algorithms.hpo.{module}"), name)(**settings)

    most = {"optimize_mode": "maximize"}
    match search.strategy:
        case "tpe":
            return of_nni("tpe_tuner", "TpeTuner", seed=search.seed, **most)
        case "random":
            return of_nni("random_tuner", "RandomTuner", seed=search.seed)
        case "grid":
            return of_nni("gridsearch_tuner", "GridSearchTuner")
        case "hyperband":
            ((least, longest),) = search.budget.values()
            return _Hyperband(longest // least, search.seed)
        case "anneal":
            return _anneal()
    return of_nni("evolution_tuner", "EvolutionTuner", population_size=_POPULATION, **most)


def _anneal() -> Any:
    try:
        from nni.algorithms.hpo.hyperopt_tuner import HyperoptTuner
    except ImportError as error:
        raise UserError(
            f"search.strategy 'anneal' needs the package hyperopt: pip install 'hyperopt>=0.3' "
            f"({error})"
        ) from None

    class Anneal(HyperoptTuner):
        def _get_suggestion(self, random_search: bool = False) -> Any:
            # hyperopt returns numpy's numbers, which NNI compares with lists.
            found = super()._get_suggestion(random_search)
            return {k: v.item() if isinstance(v, np.generic) else v for k, v in found.items()}

    return Anneal("anneal", optimize_mode="maximize")


def _as_nni(values: Sequence[Any], kind: str) -> dict[str, Any]:
    """A setting's values as NNI has them; a choice by places, as NNI's values are hashed."""
    return {"_type": kind, "_value": list(range(len(values))) if kind == "choice" else list(values)}


@contextmanager
def _seeded(what: str) -> Iterator[None]:
    """Seed the global generators, which some tuners draw from, and give them back as they were."""
    before, numpy_before = random.getstate(), np.random.get_state()
    random.seed(what)
    np.random.seed(random.getrandbits(32))
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)


@contextmanager
def _quiet() -> Iterator[None]:
    """NNI logs its seeds, warns of a service that is not used here, and every failed fit."""
    import nni  # noqa: F401, as it sets its logger's level

    talkers = [logging.getLogger(name) for name in ("nni", "hyperopt", "curvefitting_Assessor")]
    levels = [talker.level for talker in talkers]
    for talker in talkers:
        talker.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for talker, level in zip(talkers, levels, strict=True):
            talker.setLevel(level)
