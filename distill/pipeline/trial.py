"""A process that does trials of a study: jobs come as lines, and so go out what came of them.

Started as ``python -m distill.pipeline.trial``. A job is a JSON object on a line of standard
input: ``recipe`` (resolved), ``folder`` (its run folder), ``stage`` (the last one to be done),
``reuse`` (run folders whose finished stages may be taken over). The answer on standard output has
``seconds`` and either the last stage's ``facts``, or why the trial ``failed``; of a full disk it is
``disk_full`` alone. Everything else that is written goes to the run folder's ``log.txt``.

The process does one trial after another, because importing torch and Lightning takes longer than
a small training. It stops with a checkpoint after SIGINT, and when the process that started it is
gone, whatever ended that.

``python -m distill.pipeline.trial --nni FOLDER`` is one trial of an NNI experiment: its job is a
file of that folder, and so is what came of it; NNI gets the validation curve and the score.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from distill.recipe.loader import resolved
from distill.recipe.schema import Recipe
from distill.run_folder import RunFolder
from distill.system import atomic
from distill.system.errors import DiskFullError, UserError


def as_line(recipe: Recipe, folder: Path, stage: str, reuse: list[Path]) -> str:
    """A job as one line of text."""
    content = {"recipe": resolved(recipe), "folder": str(folder), "stage": stage}
    return json.dumps(content | {"reuse": [str(path) for path in reuse]})


def do_trial(job: Mapping[str, Any]) -> dict[str, Any]:
    """Run one trial, up to its stage; an error of any kind is its failure.

    Raises:
        DiskFullError: no other trial would fare better.
        KeyboardInterrupt: a person wants to stop; a training has written its checkpoint.
    """
    # Heavy: torch, transformers and lightning come with the runner.
    from distill.pipeline.runner import go_on
    from distill.stages.evaluate import draws_of_trial

    start = time.monotonic()
    recipe, folder = Recipe.model_validate(job["recipe"]), RunFolder(Path(job["folder"]))
    try:
        facts = go_on(recipe, folder.path, until=job["stage"], reuse=map(Path, job["reuse"]))
        draws_of_trial(folder.path, job["stage"])
        outcome: dict[str, Any] = {"facts": facts}
    except DiskFullError:
        raise
    except UserError as error:
        outcome = {"failed": str(error)}
    except Exception as error:
        traceback.print_exc()
        outcome = {"failed": f"{type(error).__name__}: {error} (traceback in {folder.log})"}
    return outcome | {"seconds": round(time.monotonic() - start, 1)}


def main() -> int:
    """Do jobs until there are no more."""
    # Whatever was inherited: the one that started us says when to stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.argv[1:2] == ["--nni"]:
        return _nni_trial(Path(sys.argv[2]))
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    _log()
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_read, args=(jobs, busy), daemon=True).start()
    try:
        while line := jobs.get():
            busy.set()
            job = json.loads(line)
            _write_to(RunFolder(Path(job["folder"])).log)
            _answer(out, do_trial(job))
            busy.clear()
            gc.collect()
    except KeyboardInterrupt:
        return 130
    except DiskFullError as error:
        _answer(out, {"disk_full": str(error)})
        return 2
    return 0


def _log() -> None:
    logging.getLogger("distill").setLevel(logging.INFO)
    logging.getLogger("distill").propagate = False


def _nni_trial(jobs: Path) -> int:
    """Do the trial that NNI gives to this process; 1 where it failed."""
    import nni

    _log()
    file = jobs / f"{nni.get_next_parameter()['number']}.json"
    job = json.loads(file.read_text("utf-8"))
    os.chdir(job["cwd"])
    _write_to(RunFolder(Path(job["folder"])).log)
    try:
        with _reported(job):
            outcome = do_trial(job)
    except KeyboardInterrupt:
        return 130
    except DiskFullError as error:
        outcome = {"disk_full": str(error)}
    atomic.write_json(file.with_suffix(".outcome"), outcome)
    score = outcome.get("facts", {}).get("score")
    if score is not None:
        with suppress(OSError):  # the manager is being stopped
            nni.report_final_result(score)
    return 0 if "facts" in outcome else 1


@contextmanager
def _reported(job: Mapping[str, Any]) -> Iterator[None]:
    """Give NNI every validation score of a trial; stop the trial when NNI's manager is gone."""
    import nni

    from distill.pipeline.study_record import validation_scores
    from distill.recipe.plan import Trial

    trial = Trial("", "", 0, Recipe.model_validate(job["recipe"]), job["stage"])
    over, manager = threading.Event(), os.environ.get("DISTILL_NNI_MANAGER")

    def report(sent: int) -> int:
        scores = validation_scores(Path(job["folder"]), trial)
        with suppress(OSError):  # the manager is being stopped
            for score in scores[sent:]:
                nni.report_intermediate_result(score)
        return len(scores)

    def watch() -> None:
        sent = 0
        while not over.wait(1.0):
            sent = report(sent)
            if manager and not _lives(int(manager)):
                os.kill(os.getpid(), signal.SIGINT)
                return
        report(sent)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def _lives(process: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _read(jobs: queue.SimpleQueue[str], busy: threading.Event) -> None:
    # Not sys.stdin, whose lock this thread would hold: a process that is forked closes it, and
    # waits for ever. OpenVINO forks one at the end, for its telemetry.
    with os.fdopen(os.dup(0), encoding="utf-8") as lines:
        for line in lines:
            jobs.put(line)
    jobs.put("")
    # The line stays open for as long as the answer is wanted: the process that wants it is gone.
    busy.wait()
    os.kill(os.getpid(), signal.SIGINT)


def _write_to(log: Path) -> None:
    """Append standard output and error from now on, those of C and C++ parts too, to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)


def _answer(out: Any, content: Mapping[str, Any]) -> None:
    out.write(json.dumps(content) + "\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
