"""A process that does cells of an ablation: jobs come as lines, and so do what it tells of them.

Started as ``python -m distill.pipeline.cell_worker``. Standard input brings one job a line;
standard output takes what happened, one object a line:

- ``{"ready": true}``: everything is loaded;
- ``{"said": ...}``: a message of the run, or where its bar stands;
- ``{"warned": ...}``: a warning or an error, for a person to see;
- ``{"passed": ...}``: the name of a stage that is done now;
- ``{"result": ...}``: the cell is done or has failed;
- ``{"disk_full": ...}``: why nothing more can be done.

Nothing of torch is imported before the environment, which limits its threads, is read. When the
process that started it is gone, whatever ended it, the worker stops as after Ctrl-C.
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
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from distill import console
from distill.errors import DiskFullError
from distill.recipe.loader import resolved

if TYPE_CHECKING:
    from distill.pipeline.cell import Job

logger = logging.getLogger("distill")

#: Seconds between two of a bar's lines.
_OFTEN = 1.0


def as_line(job: Job) -> str:
    """A job as one line of text."""
    cell = job.cell
    content = {
        "variant": cell.variant,
        "task": cell.task,
        "seed": cell.seed,
        "stage": cell.stage,
        "recipe": resolved(cell.recipe),
        "folder": str(job.folder),
        "key": job.key,
        "siblings": [str(path) for path in job.siblings],
    }
    return json.dumps(content)


def from_line(line: str) -> Job:
    """The job of a line; see :func:`as_line`."""
    from distill.pipeline.cell import Job
    from distill.recipe.ablation import Cell
    from distill.recipe.schema import Recipe

    content = json.loads(line)
    recipe = Recipe.model_validate(content["recipe"])
    cell = Cell(content["variant"], content["task"], content["seed"], recipe, content["stage"])
    siblings = [Path(name) for name in content["siblings"]]
    return Job(cell, Path(content["folder"]), content["key"], siblings)


class _Teller(logging.Handler):
    """Sends events, and what is logged, to the process that started this one."""

    def __init__(self, out: IO[str]) -> None:
        super().__init__()
        self._out = out
        self._last = 0.0

    def tell(self, event: Mapping[str, Any]) -> None:
        try:
            self._out.write(json.dumps(event) + "\n")
            self._out.flush()
        except BrokenPipeError:  # it is gone: `_read` stops this process
            pass

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warned" if record.levelno >= logging.WARNING else "said"
        self.tell({kind: self.format(record)})

    def bar(self, bar: console.Bar) -> None:
        """Tell where a bar stands, about once a second."""
        now = time.monotonic()
        if now - self._last >= _OFTEN:
            self._last = now
            self.tell({"said": bar.line()})


def main() -> int:
    """Do jobs until there are no more."""
    # Whatever was inherited: the one that started us says when to stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    teller = _Teller(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)  # what else is printed is no event
    logger.addHandler(teller)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    console.listeners.append(teller.bar)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_read, args=(lines, busy), daemon=True).start()
    try:
        # Heavy: torch, transformers and lightning come with the runner.
        from distill.pipeline.cell import do_cell

        teller.tell({"ready": True})
        while line := lines.get():
            busy.set()
            result = do_cell(
                from_line(line),
                passed=lambda stage: teller.tell({"passed": stage.name}),
                raw_to_log=True,
            )
            busy.clear()
            teller.tell({"result": result.model_dump(mode="json")})
            gc.collect()
    except KeyboardInterrupt:
        return 130
    except DiskFullError as error:
        teller.tell({"disk_full": str(error)})
        return 2
    return 0


def _read(lines: queue.SimpleQueue[str], busy: threading.Event) -> None:
    for line in sys.stdin:
        lines.put(line)
    lines.put("")
    # One with more jobs to give would have kept the line open: if there is one at work, the
    # process that wants it is gone.
    busy.wait()
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
