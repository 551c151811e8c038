"""Cells of an ablation in several processes of one thread each.

Models here are small: a thread for each of two cells gets more done than two threads in one cell,
which wait for each other at the end of every layer.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import IO, Any, cast

from distill.console import Board
from distill.errors import DiskFullError
from distill.evaluation.ablation import CellResult
from distill.pipeline.ablation_progress import Progress, named, title
from distill.pipeline.cell import Job
from distill.pipeline.cell_worker import as_line
from distill.recipe.ablation import Cell
from distill.recipe.ablation_cost import stage_keys

logger = logging.getLogger("distill")

#: Seconds that workers have to write their checkpoints before they are ended.
_PATIENCE = 60.0
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


class Schedule:
    """Which cell may begin: one whose stages nobody is just about to do.

    So a stage that several cells share is done by the first of them, and the others take it over.

    Args:
        cells: what is to be done, in the order of preference.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._waiting = list(cells)
        self._keys = {
            named(cell): dict(
                zip([stage.name for stage in cell.planned()], stage_keys(cell), strict=True)
            )
            for cell in cells
        }
        self._under_way: set[str] = set()
        self._there: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self) -> Cell | None:
        """The next cell that may begin, counted as begun; ``None``: not now."""
        for cell in self._waiting:
            keys = set(self._keys[named(cell)].values()) - self._there
            if not keys & self._under_way:
                self._waiting.remove(cell)
                self._under_way |= keys
                return cell
        return None

    def passed(self, cell: Cell, stage: str) -> None:
        """A cell has done a stage: others may take it over."""
        key = self._keys[named(cell)][stage]
        self._under_way.discard(key)
        self._there.add(key)

    def ended(self, cell: Cell) -> None:
        """A cell is over: the stages that it did not come to are for others to do."""
        self._under_way -= set(self._keys[named(cell)].values()) - self._there


class CellPool:
    """Does jobs in worker processes, and tells of each when it is over.

    Args:
        jobs: what is done.
        count: how many workers there are at most.
        progress: counts the cells.
        over: called with every cell's result.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        count: int,
        *,
        progress: Progress,
        over: Callable[[Cell, CellResult], None],
    ) -> None:
        self._jobs = {named(job.cell): job for job in jobs}
        self._schedule = Schedule([job.cell for job in jobs])
        self._count, self._progress, self._over = count, progress, over
        self._events: _Events = queue.SimpleQueue()
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, _Running] = {}
        self._error: BaseException | None = None
        self._signals, self._stop_by = 0, 0.0

    def run(self) -> None:
        """Do everything.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM; the workers have stopped with checkpoints.
            DiskFullError: a worker found the disk full; the others were stopped.
        """
        with _noting_stops() as asked, Board() as board:
            try:
                self._begin()
                while self._busy:
                    with suppress(queue.Empty):
                        self._take(*self._events.get(timeout=0.5))
                    self._heed(len(asked))
                    self._begin()
                    board.show(self._lines())
            finally:
                self._end()
        if self._error is not None:
            raise self._error

    def _begin(self) -> None:
        while self._error is None and len(self._busy) < self._count:
            cell = self._schedule.begin()
            if cell is None:
                return
            worker = self._idle.pop() if self._idle else _Worker(self._events)
            self._busy[worker] = _Running(cell)
            logger.info(self._progress.begin(cell))
            worker.give(self._jobs[named(cell)])

    def _take(self, worker: _Worker, event: Mapping[str, Any] | None) -> None:
        running = self._busy.get(worker)
        if running is None:
            if event is None:
                self._idle = [other for other in self._idle if other is not worker]
            return
        match event:
            case None:
                del self._busy[worker]
                self._gone(worker, running.cell)
            case {"said": said}:
                running.said = said
            case {"warned": warned}:
                logger.warning("%s: %s", running.cell.folder, warned)
            case {"passed": stage}:
                self._schedule.passed(running.cell, stage)
            case {"disk_full": reason}:
                self._stop(DiskFullError(reason))
            case {"result": result}:
                del self._busy[worker]
                self._idle.append(worker)
                self._ended(running.cell, CellResult.model_validate(result))

    def _gone(self, worker: _Worker, cell: Cell) -> None:
        code = worker.process.wait()
        if self._error is not None:
            return  # it was told to
        job = self._jobs[named(cell)]
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        hint = "; is memory short? --jobs takes fewer" if code == -signal.SIGKILL else ""
        reason = f"its process {how}{hint}; what it said last is in {job.place / 'log.txt'}"
        self._ended(cell, job.result("failed", self._progress.elapsed(cell), reason=reason))

    def _ended(self, cell: Cell, result: CellResult) -> None:
        self._schedule.ended(cell)
        if self._error is not None and result.status == "failed":
            return  # it may have failed of being stopped
        self._progress.done(cell, result.seconds)
        self._over(cell, result)

    def _heed(self, asked: int) -> None:
        """Pass on what a person asks for: stop with a checkpoint, stop at once, be gone."""
        if asked > self._signals:
            self._signals = asked
            if asked == 1:
                logger.info("stopping every cell after its step; Ctrl-C again stops at once")
            self._stop(KeyboardInterrupt())
        if self._signals > 2 or (self._error is not None and time.monotonic() > self._stop_by):
            for worker in self._busy:
                worker.process.kill()

    def _stop(self, error: BaseException) -> None:
        if self._error is None:
            self._stop_by = time.monotonic() + _PATIENCE
        if not isinstance(self._error, DiskFullError):
            self._error = error
        for worker in self._busy:
            worker.process.send_signal(signal.SIGINT)

    def _end(self) -> None:
        for worker in self._busy:
            worker.process.send_signal(signal.SIGINT)
        for worker in [*self._busy, *self._idle]:
            worker.end()

    def _lines(self) -> list[str]:
        lines = [f"  {title(one.cell)}: {one.said}" for one in self._busy.values()]
        return [self._progress.whole(), *lines]


@dataclass
class _Running:
    cell: Cell
    said: str = "starting"


class _Worker:
    """A process that does one cell after another; see :mod:`distill.pipeline.cell_worker`."""

    def __init__(self, events: _Events) -> None:
        environment = {**os.environ, **dict.fromkeys(_ONE_THREAD, "1")}
        # What this process found, wherever its program looked for it.
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        environment.pop("FORCE_COLOR", None)  # what a bar draws is for a terminal
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-m", "distill.pipeline.cell_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            encoding="utf-8",
            process_group=0,  # Ctrl-C reaches the one that decides about it, and it alone
        )
        self._line = cast(IO[str], self.process.stdin)
        lines = cast(IO[str], self.process.stdout)
        threading.Thread(target=self._read, args=(events, lines), daemon=True).start()

    def _read(self, events: _Events, lines: IO[str]) -> None:
        for line in lines:
            events.put((self, json.loads(line)))
        events.put((self, None))

    def give(self, job: Job) -> None:
        """Have a job done."""
        with suppress(OSError):  # it has died, which is told by its end
            self._line.write(as_line(job) + "\n")
            self._line.flush()

    def end(self) -> None:
        """Let the process end, or end it."""
        with suppress(OSError):
            self._line.close()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


_Events = queue.SimpleQueue[tuple[_Worker, Mapping[str, Any] | None]]


@contextmanager
def _noting_stops() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM instead of being ended by them; in the main thread only."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as it is for a job in the background
            signal.signal(number, note)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
