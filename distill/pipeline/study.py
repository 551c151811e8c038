"""Running a study: trials in worker processes, stages shared among them, nothing done twice.

Models here are small: one thread for each of two trials gets more done than two threads in one
trial, which wait for each other at the end of every layer.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from distill.evaluation.study import StudyResults
from distill.pipeline.environment import logged
from distill.pipeline.strategy import Grid, Strategy
from distill.pipeline.study_record import StudyRecord
from distill.pipeline.trial import as_line
from distill.recipe.study import LoadedStudy
from distill.recipe.trial import Trial
from distill.run_folder import RunFolder
from distill.system.console import Board, clock
from distill.system.errors import DiskFullError
from distill.system.processor import physical_cores

logger = logging.getLogger("distill")

#: Seconds that workers have to write their checkpoints before they are ended.
_PATIENCE = 60.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def run_study(
    loaded: LoadedStudy,
    folder: Path,
    *,
    wanted: Callable[[Trial], bool] = lambda _: True,
    command: str = "",
    keep_models: bool = False,
    jobs: int | None = None,
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
        strategy: Strategy = (grid := Grid(todo, folder))
        if loaded.config.search is not None:
            # Heavy: NNI.
            from distill.pipeline.search import Searched

            strategy = Searched(loaded, loaded.config.search, grid, folder, record.get)
        results = record.save()
        if strategy.left:
            # What a search proposes later may share any stage with what is done.
            tidy = not keep_models and loaded.config.search is None
            _Pool(record, strategy, jobs).run(after=record.remove_weights if tidy else lambda: None)
            if not keep_models:
                record.remove_weights()
            results = record.save()
    return results


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


class _Pool:
    """Worker processes, and what each of them is doing."""

    def __init__(self, record: StudyRecord, strategy: Strategy, jobs: int) -> None:
        self._record, self._strategy, self._jobs = record, strategy, jobs
        self._threads = max(1, physical_cores() // jobs)
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._begun = self._done = 0
        self._start = time.monotonic()

    def run(self, after: Callable[[], None]) -> None:
        """Do every trial of the strategy; ``after`` is called behind each."""
        try:
            with Board() as board:
                self._begin()
                while busy := [worker for worker in self._workers if worker.trial is not None]:
                    for ready, _ in self._selector.select(0.5):
                        self._take(ready.data)
                        after()
                    for worker in busy:
                        worker.stop_if(self._strategy.stops)
                    self._begin()
                    board.show([self._whole(), *(f"  {worker.line()}" for worker in busy)])
        except BaseException:
            self._stop()
            raise
        for worker in self._workers:
            worker.end()

    def _begin(self) -> None:
        while sum(worker.trial is not None for worker in self._workers) < self._jobs:
            trial = self._strategy.next()
            if trial is None:
                return
            idle = [worker for worker in self._workers if worker.trial is None]
            worker = idle[0] if idle else self._new_worker()
            self._begun += 1
            total = self._begun + self._strategy.left
            logger.info("trial %d of %d: %s", self._begun, total, trial.name)
            recipe, folder = trial.recipe, self._record.folder
            if self._jobs > 1 and recipe.trainer.threads is None:
                trainer = recipe.trainer.model_copy(update={"threads": self._threads})
                recipe = recipe.model_copy(update={"trainer": trainer})
            others = [folder / o.folder for o in self._record.loaded.trials if o is not trial]
            run = folder / trial.folder
            worker.give(trial, run, as_line(recipe, run, trial.stage, others))

    def _new_worker(self) -> _Worker:
        worker = _Worker(self._threads)
        self._workers.append(worker)
        self._selector.register(worker.answers, selectors.EVENT_READ, worker)
        return worker

    def _take(self, worker: _Worker) -> None:
        """Put down what came of a worker's trial."""
        line, trial = worker.answers.readline(), worker.trial
        if not line:  # it has died
            self._selector.unregister(worker.answers)
            self._workers.remove(worker)
        if trial is None:
            return
        outcome: Mapping[str, Any] = json.loads(line) if line else worker.death()
        if "disk_full" in outcome:
            raise DiskFullError(outcome["disk_full"])
        worker.trial = None
        result = self._record.add(trial, outcome)
        self._strategy.ended(trial, result)
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
        """One line about all trials."""
        gone = time.monotonic() - self._start
        total = self._begun + self._strategy.left
        left = gone / self._done * (total - self._done) if self._done else None
        text = "" if left is None else f", about {clock(left)} left"
        return f"{self._done} of {total} trials done, {clock(gone)} gone{text}"

    def _stop(self) -> None:
        """Let every worker stop with a checkpoint; end those that take too long."""
        logger.info("stopping every trial after its step, with a checkpoint; Ctrl-C stops at once")
        for worker in self._workers:
            worker.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _PATIENCE
        try:
            for worker in self._workers:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            for worker in self._workers:
                worker.process.kill()
                worker.process.wait()


class _Worker:
    """A process that does one trial after another; see :mod:`distill.pipeline.trial`."""

    def __init__(self, threads: int) -> None:
        environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
        # What this process found, wherever its program looked for it.
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        environment.pop("FORCE_COLOR", None)  # what a bar draws is for a terminal
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", "distill.pipeline.trial"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
            process_group=0,  # Ctrl-C reaches the one that decides about it, and it alone
        )
        self.trial: Trial | None = None
        self._run = Path()
        self._stopped = False
        self._begun = 0.0

    @property
    def answers(self) -> Any:
        """Where its answers come out, a line each."""
        return self.process.stdout

    def give(self, trial: Trial, run: Path, line: str) -> None:
        """Have a trial done."""
        self.trial, self._run, self._begun = trial, run, time.monotonic()
        with suppress(OSError):  # it has died, which its closed output shows
            self._stdin.write(line + "\n")
            self._stdin.flush()

    @property
    def _stdin(self) -> Any:
        return self.process.stdin

    def line(self) -> str:
        """What its trial logged last."""
        name = self.trial.name if self.trial else "idle"
        with suppress(OSError), (self._run / "log.txt").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 500))
            lines = file.read().decode("utf-8", "replace").splitlines()
            return f"{name}: {lines[-1] if lines else 'starting'}"
        return f"{name}: starting"

    def stop_if(self, stops: Callable[[Trial], bool]) -> None:
        """End the trial where it is not worth finishing; its process ends with it."""
        if self.trial is not None and not self._stopped and stops(self.trial):
            self._stopped = True
            self.process.send_signal(signal.SIGINT)

    def death(self) -> dict[str, Any]:
        """The outcome of a trial whose process is gone."""
        code = self.process.wait()
        if self._stopped:
            return {"stopped": True, "seconds": round(time.monotonic() - self._begun, 1)}
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        hint = "; is memory short? --jobs takes fewer" if code == -signal.SIGKILL else ""
        reason = f"its process {how}{hint}; its last lines are in {self._run / 'log.txt'}"
        return {"failed": reason, "seconds": 0.0}

    def end(self) -> None:
        """Let the process end."""
        with suppress(OSError):
            self._stdin.close()
        self.process.wait()
