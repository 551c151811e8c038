"""Running a study: trials in worker processes, stages shared among them, nothing done twice.

Models here are small: one thread for each of two trials gets more done than two threads in one
trial, which wait for each other at the end of every layer.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.evaluation.limits import trial_value
from distill.evaluation.study import StudyResults
from distill.pipeline.environment import logged
from distill.pipeline.strategy import Grid, Strategy
from distill.pipeline.study_record import StudyRecord
from distill.pipeline.trial import as_line
from distill.pipeline.workers import Engine, Workers
from distill.recipe.plan import Trial
from distill.recipe.search_space import Values
from distill.recipe.study import LoadedStudy
from distill.run_folder import RunFolder
from distill.system.console import Board, clock
from distill.system.errors import DiskFullError
from distill.system.processor import physical_cores
from distill.tracking.study_runs import StudyRuns, study_runs

logger = logging.getLogger("distill")


def run_study(
    loaded: LoadedStudy,
    folder: Path,
    *,
    wanted: Callable[[Trial], bool] = lambda _: True,
    command: str = "",
    keep_models: bool = False,
    jobs: int | None = None,
    given: Values | None = None,
) -> StudyResults:
    """Run a study's trials, or go on with them.

    Trials that are done are kept as long as their recipe and the files it names are the same; those
    that failed are tried again. A stage that another trial has done from the same inputs is taken
    over. After every trial ``study.json`` holds all that is known.

    Args:
        loaded: the study.
        folder: its folder, new or of the same study.
        wanted: which trials are run now.
        command: the command line that runs it, for the record.
        keep_models: keep every trial's weights. Otherwise they are removed as soon as no other
            trial can take them over; teachers, and trials that are evaluated, always keep theirs.
        jobs: trials that run at the same time, each with its share of the cores; left out, see
            :func:`default_jobs`.
        given: values of the search's space: they alone are tried, as an agent of a sweep wants it.

    Returns:
        Everything known of the study.

    Raises:
        RunFolderError: the folder is something else's, or another process works in it.
        DiskFullError: a trial found the disk full; the others were stopped.
        KeyboardInterrupt: a person stopped it; the trials under way have left checkpoints.
    """
    jobs = jobs or default_jobs([*loaded.trials, *loaded.likely])
    folder.mkdir(parents=True, exist_ok=True)
    with RunFolder(folder).held(), logged(folder / "log.txt"):
        record = StudyRecord(loaded, folder, command)
        todo = [trial for trial in loaded.trials if wanted(trial) and not record.is_done(trial)]
        logger.info(
            "%s: %d trials, %d to be done", loaded.config.name, len(loaded.trials), len(todo)
        )
        for name, why in loaded.skipped.items():
            logger.info("%s: skipped: %s", name, why)
        strategy = _strategy(record, Grid(todo, folder), given)
        results = record.save()
        if strategy.left:
            results = _run_trials(record, strategy, jobs, keep_models=keep_models)
    return results


def _run_trials(
    record: StudyRecord, strategy: Strategy, jobs: int, *, keep_models: bool
) -> StudyResults:
    """Run what the strategy begins; removes weights that no other trial needs."""
    loaded, folder = record.loaded, record.folder
    # What a search proposes later may share any stage with what is done.
    tidy = not keep_models and loaded.config.search is None
    runs = study_runs([*loaded.trials, *loaded.likely], folder)
    pool = _Pool(record, strategy, jobs, _engine(loaded, folder, jobs), runs)
    pool.run(after=record.remove_weights if tidy else lambda: None)
    if not keep_models:
        record.remove_weights()
    results = record.save()
    if runs is not None:
        runs.finish(results)
    return results


def _strategy(record: StudyRecord, grid: Grid, given: Values | None) -> Strategy:
    search = record.loaded.config.search
    if search is None:
        return grid
    if search.strategy == "halving":
        # Heavy: torch.
        from distill.pipeline.halving import Halving

        return Halving(record.loaded, search, grid, record.folder, record.get)
    # Heavy: NNI.
    from distill.pipeline.search import Searched

    return Searched(record.loaded, search, grid, record.folder, record.get, given=given)


def default_jobs(trials: Sequence[Trial]) -> int:
    """One trial for each core; one alone where trials are timed, take several, or share a GPU."""
    trainers = [trial.recipe.trainer for trial in trials]
    if any(trial.evaluates for trial in trials):
        return 1
    if any(trainer.accelerator != "cpu" for trainer in trainers):
        from distill.training.devices import on_gpu

        if any(map(on_gpu, trainers)):
            return 1
    return max(1, physical_cores() // max((trainer.devices for trainer in trainers), default=1))


def _engine(loaded: LoadedStudy, folder: Path, jobs: int) -> Engine:
    threads = max(1, physical_cores() // jobs)
    engine = loaded.config.engine
    if isinstance(engine, str):  # local
        return Workers(threads)
    # Heavy: NNI.
    from distill.pipeline.nni_engine import NniExperiment

    return NniExperiment(engine, loaded, folder, jobs=jobs, threads=threads)


@dataclass
class _Pool:
    """Trials that run at the same time."""

    record: StudyRecord
    strategy: Strategy
    jobs: int
    engine: Engine
    runs: StudyRuns | None

    def __post_init__(self) -> None:
        #: By folder; those of them that the strategy has ended.
        self._running: dict[str, Trial] = {}
        self._ended: set[str] = set()
        self._begun = self._done = 0
        self._start = time.monotonic()

    def run(self, after: Callable[[], None]) -> None:
        """Do every trial of the strategy; ``after`` is called behind each."""
        try:
            with Board() as board:
                self._begin()
                while self._running:
                    for trial, outcome in self.engine.outcomes():
                        self._take(trial, outcome)
                        after()
                    for trial in self._running.values():
                        if trial.folder not in self._ended and self.strategy.stops(trial):
                            self._ended.add(trial.folder)
                            self.engine.end(trial)
                    if self.runs is not None:
                        self.runs.follow()
                    self._begin()
                    board.show([self._whole(), *map(self._line, self._running.values())])
        except BaseException:
            logger.info(
                "stopping every trial after its step, with a checkpoint; Ctrl-C stops at once"
            )
            self.engine.stop()
            if self.runs is not None:
                self.runs.stop()
            raise
        self.engine.close()

    def _begin(self) -> None:
        while len(self._running) < self.jobs:
            trial = self.strategy.next()
            if trial is None:
                return
            self._running[trial.folder] = trial
            self._begun += 1
            total = self._begun + self.strategy.left
            logger.info("trial %d of %d: %s", self._begun, total, trial.name)
            if self.runs is not None:
                variant = self.record.loaded.config.variants[trial.variant]
                self.runs.begin(trial, variant.set)
            recipe, folder = trial.recipe, self.record.folder
            if self.jobs > 1 and recipe.trainer.threads is None:
                threads = {"threads": max(1, physical_cores() // self.jobs)}
                trainer = recipe.trainer.model_copy(update=threads)
                recipe = recipe.model_copy(update={"trainer": trainer})
            others = [folder / o.folder for o in self.record.loaded.trials if o is not trial]
            run = folder / trial.folder
            self.engine.start(trial, run, as_line(recipe, run, trial.stage, others))

    def _take(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        if "disk_full" in outcome:
            raise DiskFullError(outcome["disk_full"])
        del self._running[trial.folder]
        result = self.record.add(trial, outcome)
        self.strategy.ended(trial, result)
        if self.runs is not None:
            search = self.record.loaded.config.search
            limits = search.limits if search is not None else None
            self.runs.end(trial, result, trial_value(limits, self.record.folder, result))
        self._done += 1
        if result.status == "stopped":
            logger.info("%s: stopped early; %s", trial.name, self._whole())
        elif result.status == "failed":
            logger.warning("%s: failed: %s", trial.name, result.reason)
        else:
            text = "" if result.score is None else f"{result.score:.4f} "
            logger.info(
                "%s: %safter %s; %s", trial.name, text, clock(result.seconds), self._whole()
            )

    def _whole(self) -> str:
        gone = time.monotonic() - self._start
        total = self._begun + self.strategy.left
        left = gone / self._done * (total - self._done) if self._done else None
        text = "" if left is None else f", about {clock(left)} left"
        return f"{self._done} of {total} trials done, {clock(gone)} gone{text}"

    def _line(self, trial: Trial) -> str:
        with suppress(OSError), (self.record.folder / trial.folder / "log.txt").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 500))
            lines = file.read().decode("utf-8", "replace").splitlines()
            return f"  {trial.name}: {lines[-1] if lines else 'starting'}"
        return f"  {trial.name}: starting"
