"""What a person sees while a run works: bars with ETA on a terminal, else plain lines."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

logger = logging.getLogger("distill")

#: Where bars and messages go; results go to standard output.
stderr = Console(stderr=True, highlight=False)

_PLAIN_SECONDS, _BOARD_SECONDS = 15.0, 60.0
#: An ETA needs so many seconds since the first count, and so many further counts or a tenth of all:
#: one from the first step alone, which loads and compiles, was sixteen times too long.
_ETA_SECONDS, _ETA_COUNTS = 5.0, 10
#: The pace is the mean over so many seconds, validations between the steps included.
_PACE_SECONDS = 600.0


def clock(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``2:03``."""
    minutes, left = divmod(max(0, round(seconds)), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}:{minutes_left:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


class Bar:
    """One bar with counts, ETA and a short status; the same in plain lines off a terminal.

    Use as a context manager; call :meth:`advance` as work is done.

    Args:
        description: what is being worked on, such as the stage's name.
        total: how many steps there are; may be corrected on the way.
        done: how many were done before (a resumed run).
    """

    def __init__(self, description: str, total: int, done: int = 0) -> None:
        self.description = description
        self.total = max(total, 1)
        self.done = done
        self._last_line = time.monotonic()
        self._status = ""
        self._counts = 0
        self._first: tuple[float, int] | None = None
        # Off a terminal rich draws nothing, but keeps count of the pace all the same.
        self._rich = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}{task.fields[status]}"),
            console=stderr,
            transient=True,
            disable=not stderr.is_terminal,
            speed_estimate_period=_PACE_SECONDS,
            get_time=lambda: time.monotonic(),
        )
        self._task = self._rich.add_task(
            description, total=self.total, completed=done, eta="", status=""
        )

    def __enter__(self) -> Bar:
        self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rich.stop()

    def advance(self, steps: int = 1, status: str | None = None) -> None:
        """Count ``steps`` more as done; ``status`` replaces the text behind the bar."""
        self.done += steps
        now = time.monotonic()
        if steps:
            self._counts += 1
            self._first = self._first or (now, self.done)
        if status is not None:
            self._status = status
        self._rich.update(self._task, total=self.total, completed=self.done)
        if not self._rich.disable:
            eta = f"ETA {self._eta()} " if self.done < self.total else ""
            self._rich.update(self._task, eta=eta, status=self._status)
        elif now - self._last_line >= _PLAIN_SECONDS:
            self._last_line = now
            logger.info(self.line())

    def seconds_left(self) -> float | None:
        """Seconds to the end at the pace since the first step; ``None`` while it is too young."""
        if self._first is None:
            return None
        since, counted = self._first
        enough = self._counts > _ETA_COUNTS or self.done - counted >= self.total / 10
        if not enough or time.monotonic() - since < _ETA_SECONDS:
            return None
        return self._rich.tasks[0].time_remaining

    def _eta(self) -> str:
        left = self.seconds_left()
        return "?" if left is None else clock(left)

    def line(self) -> str:
        """The bar as one plain line: counts, percent, ETA and status."""
        share = self.done / self.total
        text = f"{self.description}: {self.done}/{self.total} ({share:.0%}), ETA {self._eta()}"
        return f"{text}, {self._status}" if self._status else text


class Board:
    """Lines about what is done at the same time: kept up to date on a terminal, else now and then.

    Use as a context manager.
    """

    def __init__(self) -> None:
        self._live: Live | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Board:
        if stderr.is_terminal:
            self._live = Live(console=stderr, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, lines: Sequence[str]) -> None:
        """Replace the lines; off a terminal, log them once a minute."""
        if self._live is not None:
            self._live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"))
            return
        now = time.monotonic()
        if now - self._last >= _BOARD_SECONDS:
            self._last = now
            for line in lines:
                logger.info(line)
