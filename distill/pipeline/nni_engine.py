"""Trials as an NNI experiment: its manager, its portal, and its training services.

What is tried is decided in this process, as with trials of this machine; NNI's manager gets each as
a trial of its own, over the channel that NNI's strategies for architectures use, and has its
training service run it. The trial's job and what came of it pass through the study's folder.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from distill.pipeline.workers import PATIENCE, Ended, environment
from distill.recipe.plan import Trial
from distill.recipe.schema.study import NniEngine
from distill.recipe.study import LoadedStudy
from distill.system import atomic
from distill.system.errors import UserError

logger = logging.getLogger("distill")

_LOOPBACK = "127.0.0.1"
_WAIT = 0.5
_TUNERS = {"tpe": "TPE", "evolution": "Evolution", "grid": "GridSearch", "random": "Random"}
#: Loaded into the manager's program before its own. NNI has it listen on every address, and it
#: outlives the process that started it.
_GUARD = """\
const net = require('net'), listen = net.Server.prototype.listen;
const place = process.argv.indexOf('--port'), port = process.argv[place + 1];
if (place > 0) {
  const host = process.env.DISTILL_NNI_HOST, parent = process.ppid;
  process.env.DISTILL_NNI_MANAGER = String(process.pid);
  net.Server.prototype.listen = function (first, ...rest) {
    if (host && String(first) === port && typeof rest[0] !== 'string') rest.unshift(host);
    return listen.call(this, first, ...rest);
  };
  setInterval(() => {
    if (process.ppid !== parent) process.kill(process.pid, 'SIGTERM');
  }, 1000).unref();
}
"""


class NniExperiment:
    """An engine whose trials are those of an NNI experiment. It begins with the first trial.

    Raises:
        UserError: NNI refuses the training service.
    """

    def __init__(
        self, engine: NniEngine, loaded: LoadedStudy, folder: Path, *, jobs: int, threads: int
    ) -> None:
        self._engine, self._loaded, self._threads = engine, loaded, threads
        self._folder = folder.resolve() / "nni"
        self._config = self._configured(jobs)
        self._experiment: Any = None
        self._channel: Any = None
        self._trials: dict[int, tuple[Trial, float]] = {}
        self._early: set[str] = set()
        self._events: queue.SimpleQueue[tuple[int, str, str]] = queue.SimpleQueue()

    def start(self, trial: Trial, run: Path, job: str) -> None:
        if self._experiment is None:
            self._open()
        number = len(self._trials)
        self._trials[number] = trial, time.monotonic()
        self._job(number).with_suffix(".outcome").unlink(missing_ok=True)
        here = {"cwd": str(Path.cwd())}  # paths are relative to it
        atomic.write_json(self._job(number), json.loads(job) | here)
        self._check()
        variant = self._loaded.config.variants[trial.variant]
        settings = {key: _shown(value) for key, value in variant.set.items()}
        self._channel.send_trial(number, {"trial": trial.name, "number": number, **settings})

    def outcomes(self) -> list[Ended]:
        try:
            number, job, status = self._events.get(timeout=_WAIT)
        except queue.Empty:
            self._check()
            return []
        trial, begun = self._trials[number]
        seconds = round(time.monotonic() - begun, 1)
        if trial.folder in self._early:
            return [(trial, {"stopped": True, "seconds": seconds})]
        try:
            outcome = json.loads(self._job(number).with_suffix(".outcome").read_text("utf-8"))
        except (OSError, ValueError):
            outcome = {"failed": self._reason(trial, job, status), "seconds": seconds}
        return [(trial, outcome)]

    def end(self, trial: Trial) -> None:
        self._early.add(trial.folder)
        for job in self._experiment.list_trial_jobs():
            number = job.hyperParameters[0].parameter_id
            if self._trials[number][0] is trial and job.status in ("WAITING", "RUNNING"):
                with suppress(OSError):  # it has ended in between
                    self._experiment.kill_trial_job(job.trialJobId)

    def stop(self) -> None:
        """End the manager, which ends its trials with SIGINT, and what is left of them."""
        if self._experiment is None:
            return
        process: subprocess.Popen[bytes] = self._experiment._proc
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            pass
        finally:
            with suppress(ProcessLookupError):  # the manager's group, its trials included
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._listens.set()
        self._experiment = None

    close = stop

    def _check(self) -> None:
        if self._experiment is not None and self._experiment._proc.poll() is not None:
            raise UserError(
                "NNI's manager ended before the study did; the same command goes on; its log: "
                f"{self._folder / self._experiment.id / 'log'}"
            )

    def _configured(self, jobs: int) -> Any:
        from nni.experiment import ExperimentConfig
        from nni.experiment.config import AlgorithmConfig

        engine, service = self._engine, self._engine.training_service
        local = service["platform"] == "local"
        python = engine.python or (sys.executable if local else "python3")
        words = [python, "-m", "distill.pipeline.trial", "--nni", str(self._folder / "jobs")]
        code = self._folder / "code"  # NNI copies this folder to other machines
        for path in (code, self._folder / "jobs"):
            path.mkdir(parents=True, exist_ok=True)
        try:
            config = ExperimentConfig(training_service=service)
            config.experiment_name = self._loaded.config.name
            config.experiment_working_directory = self._folder
            config.trial_command = f"exec {shlex.join(words)}"
            config.trial_code_directory = code
            config.trial_concurrency = jobs
            config.search_space = self._space()
            search = self._loaded.config.search  # named for the portal; NNI starts none
            name = _TUNERS.get(search.strategy if search else "grid", "Random")
            config.tuner = AlgorithmConfig(name=name, class_args={})
            config.nni_manager_ip = None if local else engine.host
            config.validate()
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise UserError(
                f"engine.training_service: NNI refuses it: {str(error).splitlines()[0]}"
            ) from None
        return config

    def _space(self) -> dict[str, Any]:
        """What the portal draws: the space of a search, its candidates, or the variants."""
        search = self._loaded.config.search
        if search is not None and search.space:
            return {
                key: {"_type": one.kind, "_value": [*map(_shown, getattr(one, one.kind))]}
                for key, one in search.space.items()
            }
        names = search.candidates if search is not None else [t.name for t in self._loaded.trials]
        return {"trial": {"_type": "choice", "_value": list(names)}}

    def _open(self) -> None:
        from nni.experiment import Experiment, RunMode
        from nni.runtime.tuner_command_channel import TunerCommandChannel

        logging.getLogger("nni").setLevel(logging.CRITICAL + 1)
        experiment = Experiment(self._config)
        (self._folder / experiment.id / "log").mkdir(parents=True, exist_ok=True)
        port = self._engine.port or _free_port()
        channel = f"ws://localhost:{port}/tuner"
        with self._surroundings():
            try:
                experiment._start_nni_manager(port, False, RunMode.Detach, channel)
            except Exception as error:
                raise UserError(
                    f"NNI's manager could not be started on port {port}: "
                    f"{str(error).splitlines()[0].replace(' (message)', '')}"
                ) from error
        self._experiment = experiment
        host = self._engine.host
        logger.info("NNI's portal: http://%s:%d (experiment %s)", host, port, experiment.id)
        self._channel = TunerCommandChannel(channel)
        ready, self._listens = threading.Event(), threading.Event()

        def initialised(_: object) -> None:
            self._channel.send_initialized()
            ready.set()

        self._channel.on_initialize(initialised)
        self._channel.on_trial_end(
            lambda end: self._events.put((end.parameter_ids[0], end.trial_job_id, end.event))
        )
        self._channel.connect()
        threading.Thread(target=self._listen, daemon=True).start()
        if not ready.wait(PATIENCE):
            raise UserError(
                f"NNI's manager does not answer; its log: {self._folder / experiment.id / 'log'}"
            )

    def _listen(self) -> None:
        with suppress(Exception):  # the manager has ended, which outcomes() notices
            self._channel.listen(self._listens)

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """The environment that the manager and its trials inherit."""
        guard = self._folder / "guard.js"
        atomic.write_text(guard, _GUARD)
        changes = environment(self._threads)
        changes["NODE_OPTIONS"] = f'--require "{guard}"'
        if self._engine.host in (_LOOPBACK, "localhost"):
            changes["DISTILL_NNI_HOST"] = _LOOPBACK
        before = dict(os.environ)
        os.environ.update(changes)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def _job(self, number: int) -> Path:
        return self._folder / "jobs" / f"{number}.json"

    def _reason(self, trial: Trial, job: str, status: str) -> str:
        """Why a trial has no outcome: what it wrote last."""
        if status == "USER_CANCELED":
            return "it was cancelled in NNI's portal"
        found = [
            *self._folder.glob(f"{self._experiment.id}/environments/*/trials/{job}/trial.std*")
        ]
        found.append(self._folder.parent / trial.folder / "log.txt")
        for path in found:
            lines = path.read_text("utf-8", "replace").split("\n") if path.is_file() else []
            if written := [line.strip() for line in lines if line.strip()]:
                return f"NNI's status is {status}; {path} ends with: {written[-1]}"
        return f"NNI's status is {status}, and it wrote nothing; NNI's trial is {job}"


def _shown(value: Any) -> Any:
    return value if type(value) in (int, float, str) else str(value)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((_LOOPBACK, 0))
        return int(found.getsockname()[1])
