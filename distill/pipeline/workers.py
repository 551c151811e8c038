"""Trials in processes of this machine: each does one trial after another."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from distill.recipe.plan import Trial

#: Seconds that trials have to write their checkpoints before they are ended.
PATIENCE = 60.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
_WAIT = 0.5

#: A trial that is over, and what came of it; see :mod:`distill.pipeline.trial`.
Ended = tuple[Trial, Mapping[str, Any]]


class Engine(Protocol):
    """Where the trials of a study run."""

    def start(self, trial: Trial, run: Path, job: str) -> None:
        """Have a trial done in a run folder; see :func:`distill.pipeline.trial.as_line`."""

    def outcomes(self) -> list[Ended]:
        """Wait a little; the trials that have ended since the last call."""

    def end(self, trial: Trial) -> None:
        """End a trial that is not worth finishing; its outcome is ``stopped``."""

    def stop(self) -> None:
        """Let every trial stop with a checkpoint; end those that take too long."""

    def close(self) -> None:
        """All trials have ended: leave nothing running."""


class Workers:
    """Worker processes of this machine, each with so many threads."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    def start(self, trial: Trial, run: Path, job: str) -> None:
        idle = [worker for worker in self._workers if worker.trial is None]
        (idle[0] if idle else self._new_worker()).give(trial, run, job)

    def outcomes(self) -> list[Ended]:
        found: list[Ended] = []
        for ready, _ in self._selector.select(_WAIT):
            worker: _Worker = ready.data
            line, trial = worker.answers.readline(), worker.trial
            worker.trial = None
            if not line:  # it has died
                self._selector.unregister(worker.answers)
                self._workers.remove(worker)
            if trial is not None:
                found.append((trial, json.loads(line) if line else worker.death()))
        return found

    def end(self, trial: Trial) -> None:
        for worker in self._workers:
            if worker.trial is trial:
                worker.stop()

    def stop(self) -> None:
        for worker in self._workers:
            worker.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + PATIENCE
        try:
            for worker in self._workers:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            for worker in self._workers:
                worker.process.kill()
                worker.process.wait()

    def close(self) -> None:
        for worker in self._workers:
            worker.end()

    def _new_worker(self) -> _Worker:
        worker = _Worker(self._threads)
        self._workers.append(worker)
        self._selector.register(worker.answers, selectors.EVENT_READ, worker)
        return worker


def environment(threads: int) -> dict[str, str]:
    """The environment of a process that does trials with so many threads."""
    found = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
    # What this process found, wherever its program looked for it.
    found["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    found.pop("FORCE_COLOR", None)  # what a bar draws is for a terminal
    return found


class _Worker:
    """A process that does one trial after another; see :mod:`distill.pipeline.trial`."""

    def __init__(self, threads: int) -> None:
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", "distill.pipeline.trial"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(threads),
            encoding="utf-8",
            process_group=0,  # Ctrl-C reaches the one that decides about it, and it alone
        )
        #: Jobs go in and answers come out, a line each.
        self._stdin: Any = self.process.stdin
        self.answers: Any = self.process.stdout
        self.trial: Trial | None = None
        self._run = Path()
        self._stopped = False
        self._begun = 0.0

    def give(self, trial: Trial, run: Path, line: str) -> None:
        self.trial, self._run, self._begun = trial, run, time.monotonic()
        with suppress(OSError):  # it has died, which its closed output shows
            self._stdin.write(line + "\n")
            self._stdin.flush()

    def stop(self) -> None:
        """End the trial; its process ends with it."""
        self._stopped = True
        self.process.send_signal(signal.SIGINT)

    def death(self) -> dict[str, Any]:
        code = self.process.wait()
        if self._stopped:
            return {"stopped": True, "seconds": round(time.monotonic() - self._begun, 1)}
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        hint = "; is memory short? --jobs takes fewer" if code == -signal.SIGKILL else ""
        reason = f"its process {how}{hint}; its last lines are in {self._run / 'log.txt'}"
        return {"failed": reason, "seconds": 0.0}

    def end(self) -> None:
        with suppress(OSError):
            self._stdin.close()
        self.process.wait()
