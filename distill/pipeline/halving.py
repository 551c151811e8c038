"""Successive halving: short trainings of many candidates, longer ones of few, the best in full.

A rung is a share of the student's optimiser steps; after each the best third by validation score
goes on. The last rung is the recipe itself, evaluated. A model that was measured beyond its limits
is timed again, and followed by the next smaller of its shape, or by the next best candidate that
keeps the limits once its prediction is corrected by what was measured of the first.

Which trial comes next depends on the results of the earlier ones alone, times included, so a search
that was stopped goes on as if it had never been.

Reference: Jamieson and Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter
Optimization.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from distill.evaluation.limits import FAILED, excess, measured, trial_value
from distill.evaluation.results import read_results
from distill.evaluation.study import TrialResult
from distill.pipeline.measure import batches_of, trainings, with_steps
from distill.pipeline.runner import prepare
from distill.pipeline.strategy import OverGrid
from distill.recipe.plan import PlannedStage, Trial
from distill.recipe.schema import Candidate, EvaluateStage, Limits, PruneStage, Recipe
from distill.recipe.schema.study import ETA
from distill.stages.evaluate import evaluate_run
from distill.training.data import Rows, total_steps

logger = logging.getLogger("distill")

#: Fewer optimiser steps of a stage say nothing.
_FEWEST_STEPS = 8
#: So often a model that proved too slow or too large is followed by a smaller one.
_CUTS = 3

#: A candidate's name and a rung's place.
_Step = tuple[str, int]


@dataclass
class Halving(OverGrid):
    """Trials of a grid, then those of a search by halving."""

    def __post_init__(self) -> None:
        self._targets = self.search.targets()
        self._last = len(self.search.rungs) - 1
        self._trials: dict[_Step, list[Trial]] = {}
        self._results: dict[str, TrialResult] = {}
        self._open: set[str] = set()
        self._over = False
        self._tried = [n for n, one in self.search.candidates.items() if not one.reserve]
        self._begin_next()

    @property
    def left(self) -> int:
        todo = len(self.grid.waiting)
        if self._over:
            return todo
        begun = max((rung for _, rung in self._trials), default=0)
        names = len(self._tried)
        return todo + int(
            sum(
                max(len(self._targets), math.ceil(names / ETA**rung))
                for rung in range(begun + 1, self._last + 1)
            )
        )

    def next(self) -> Trial | None:
        if not self._open and not self.grid.waiting and not self._over:
            self._begin_next()
        return self.grid.next()

    def ended(self, trial: Trial, result: TrialResult) -> None:
        self.grid.ended(trial, result)
        if trial.folder in self._open:
            self._open.remove(trial.folder)
            self._results[trial.folder] = result

    def _begin_next(self) -> None:
        """Add the trials of the next steps; those that are done already bring the ones after."""
        while not self._open and not self._over:
            steps = self._next_steps()
            self._over = not steps
            for step in steps:
                self._begin(step)

    def _begin(self, step: _Step) -> None:
        name, rung = step
        whole = rung == self._last
        called = name if whole else f"{name}.r{rung + 1}"
        share = self.search.rungs[rung]
        part = "" if whole else f" ({share:.0%} of the steps)"

        def changed(trial: Trial) -> Trial:
            return self._meant_for(trial, name) if whole else self._short(trial, share)

        values = {"candidate": name}
        trials = self.loaded.add_variant(called, values, title=f"{name}{part}", changed=changed)
        self.loaded.candidates[called] = self.search.candidates[name]
        self._trials[step] = trials
        for trial in trials:
            result = self.known(trial)
            if result is not None and result.status == "done":
                self._results[trial.folder] = result
            else:
                self._open.add(trial.folder)
                self.grid.add([trial])

    def _next_steps(self) -> list[_Step]:
        """What is not known and needed now: of the first rung where something is missing."""
        alive = {n: self._of_target(limits) for n, limits in enumerate(self._targets)}
        done: int | None = None
        for rung in range(self._last + 1):
            if done is not None:
                alive = {n: self._best(names, done, rung) for n, names in alive.items()}
            elif rung == self._last:
                alive = {n: names[:1] for n, names in alive.items()}
            wanted = dict.fromkeys(name for names in alive.values() for name in names)
            missing = [(name, rung) for name in wanted if (name, rung) not in self._trials]
            if missing and rung < self._last and not self._affordable(missing, rung):
                continue
            if missing:
                return missing
            done = rung
        return self._cut_again(alive)

    def _of_target(self, limits: Limits) -> list[str]:
        every = self.search.candidates
        return [n for n in self._tried if _is_for(every[n], limits)] or self._tried

    def _best(self, names: Sequence[str], done: int, rung: int) -> list[str]:
        """The best of a rung that is over; in the last there is one for each limit."""
        kept = 1 if rung == self._last else max(1, math.ceil(len(names) / ETA))
        order = sorted(names, key=lambda name: self._score((name, done)), reverse=True)
        return order[:kept]

    def _score(self, step: _Step) -> float:
        results = [self._results[trial.folder] for trial in self._trials.get(step, [])]
        values = [trial_value(None, self.folder, result) for result in results]
        return statistics.fmean(values) if values else FAILED

    def _cut_again(self, alive: dict[int, list[str]]) -> list[_Step]:
        """For each limit that none of the full trainings for it keeps, the next smaller model."""
        steps: dict[_Step, None] = {}
        whole = [name for name, rung in self._trials if rung == self._last]
        for number, limits in enumerate(self._targets):
            tried = [n for n in whole if _is_for(self.search.candidates[n], limits)]
            if not 0 < len(tried) <= _CUTS or any(self._keeps(name, limits) for name in tried):
                continue
            if self._timed_again(tried[-1], limits):
                continue
            name = self._smaller(tried, limits)
            if name is None:
                continue
            step = (name, self._last)
            if not self._affordable([step], self._last):
                logger.warning("%s: no time is left to train it", name)
                continue
            logger.info("%s is beyond its limits, and %s is trained instead", tried[-1], name)
            steps[step] = None
            alive[number] = [name]
        return list(steps)

    def _keeps(self, name: str, limits: Limits) -> bool:
        results = [self._results[trial.folder] for trial in self._trials[(name, self._last)]]
        return all(
            result.status == "done"
            and excess(limits, read_results(self.folder / result.folder).final) == 0
            for result in results
        )

    def _timed_again(self, name: str, limits: Limits) -> bool:
        """Time a model once more that is too slow, as a busy machine may be why; whether it is not.

        That takes far less than the training of another.
        """
        for trial in self._trials[(name, self._last)]:
            run = self.folder / trial.folder
            mark = run / "timed_again"
            if self._results[trial.folder].status != "done" or mark.is_file():
                return False
            ratios = limits.ratios(measured(read_results(run).final))
            if any(ratio > 1 for key, ratio in ratios.items() if key in ("size_mb", "retention")):
                return False
            logger.info("%s is beyond its limits, and is timed again", trial.name)
            evaluate_run(run)
            mark.touch()
        return self._keeps(name, limits)

    def _smaller(self, tried: Sequence[str], limits: Limits) -> str | None:
        """The best candidate whose corrected prediction keeps the limits; of one shape first."""
        every, last = self.search.candidates, tried[-1]
        correction = self._correction(last)

        def keeps(told: Limits) -> bool:
            """Whether a prediction does, once it is corrected; what is not predicted may."""
            known = told.model_dump(exclude_none=True)
            ratios = limits.ratios(told).items()
            return all(ratio * correction[n] <= 1 for n, ratio in ratios if n in known)

        left = [name for name, one in every.items() if name not in tried and _is_for(one, limits)]
        within = [name for name in left if keeps(every[name].predicted)]

        def order(name: str) -> tuple[bool, float, float]:
            scores = [self._score((name, rung)) for rung in reversed(range(self._last))]
            known = next((score for score in scores if score > FAILED), FAILED)
            latency = every[name].predicted.latency_ms or 0.0
            return every[name].shape == every[last].shape, known, latency

        return max(within, key=order, default=None)

    def _correction(self, name: str) -> dict[str, float]:
        """How many times slower and larger a model was than predicted."""
        told = self.search.candidates[name].predicted
        result = self._results[self._trials[(name, self._last)][0].folder]
        if result.status != "done":
            return dict.fromkeys(Limits.model_fields, 1.0)
        found = told.ratios(measured(read_results(self.folder / result.folder).final))
        slower = found.get("latency_ms", 1.0)
        return {"latency_ms": slower, "throughput": slower, "size_mb": found.get("size_mb", 1.0)}

    def _affordable(self, steps: Sequence[_Step], rung: int) -> bool:
        """Whether steps, and one full training for each limit behind them, end in time.

        The seconds are those of the trials before, by their shares of the steps.
        """
        if self.search.minutes is None or not self._results:
            return True
        shares = self.search.rungs
        spent = sum(result.seconds for result in self._results.values())
        rungs = [place for _, place in self._trials]
        latest = max(rungs, default=0)
        seconds = [
            self._results[trial.folder].seconds
            for step, trials in self._trials.items()
            if step[1] == latest
            for trial in trials
        ]
        each = statistics.median(seconds) / shares[latest]
        needed = each * shares[rung] * len(steps)
        if rung < self._last:
            needed += each * len(self._targets)
        return spent + needed <= 60 * self.search.minutes

    def _meant_for(self, trial: Trial, name: str) -> Trial:
        """A full trial whose evaluation knows the limits that it is meant to keep."""
        one = self.search.candidates[name]
        limits = next(t for t in self._targets if _is_for(one, t))
        stages = [
            stage.model_copy(update={"limits": limits})
            if isinstance(stage, EvaluateStage)
            else stage
            for stage in trial.recipe.stages
        ]
        return replace(trial, recipe=trial.recipe.model_copy(update={"stages": stages}))

    def _short(self, trial: Trial, share: float) -> Trial:
        """A trial with a share of the student's steps, up to its last training."""
        recipe = trial.recipe
        stages = [self._cut(recipe, stage, share) for stage in recipe.stages]
        changed = recipe.model_copy(update={"stages": stages, "baseline": False})
        whole = replace(trial, recipe=changed)
        trained = [s for s in whole.planned() if s.kind in ("distill", "prune") and s.makes_student]
        return replace(whole, stage=trained[-1].name)

    def _cut(self, recipe: Recipe, stage: Any, share: float) -> Any:
        """A stage whose training is cut to a share of its steps."""
        configs = trainings(PlannedStage(0, stage.name, stage.kind, stage))
        if not configs or stage.kind not in ("distill", "pretrain", "prune"):
            return stage
        config = configs[-1]
        whole = total_steps(config, batches_of(recipe, self._rows, config))
        steps: dict[str, Any] = {
            "max_steps": max(_FEWEST_STEPS, round(share * whole)),
            "patience": None,
        }
        if isinstance(stage, PruneStage):
            return stage.model_copy(update={"recover": config.model_copy(update=steps)})
        return with_steps(config, steps)

    @cached_property
    def _rows(self) -> Rows:
        return prepare(self.loaded.likely[0].recipe).train_examples


def _is_for(one: Candidate, limits: Limits) -> bool:
    return not one.targets or limits.latency_ms in one.targets
