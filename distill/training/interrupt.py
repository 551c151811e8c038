"""Signals that stop a run so that it can be resumed: Ctrl-C, and those of a scheduler."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger("distill")

#: What a scheduler sends before it takes the machine away.
SCHEDULER = (signal.SIGUSR1, signal.SIGTERM)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _interrupt(number: int) -> None:
    raise KeyboardInterrupt(number)


def exit_code(interrupt: BaseException | None) -> int:
    """The status of a command that a signal has stopped: 128 and the signal's number."""
    numbers = [one for one in getattr(interrupt, "args", ()) if isinstance(one, int)]
    return 128 + (numbers or [signal.SIGINT])[0]


@contextmanager
def stops_at_signals(stop: Callable[[int], None] = _interrupt) -> Iterator[None]:
    """Stop what the block does at a scheduler's signal, as at Ctrl-C.

    A signal that somebody handles already, or that is ignored, is left alone.

    Args:
        stop: called once, with the signal's number; left out, it raises
            :class:`KeyboardInterrupt` with that. Later signals change nothing.
    """
    ours = [n for n in SCHEDULER if _in_main_thread() and signal.getsignal(n) is signal.SIG_DFL]

    def handle(number: int, _frame: FrameType | None) -> None:
        for one in ours:
            signal.signal(one, signal.SIG_IGN)
        stop(number)

    for number in ours:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


class Interrupt:
    """Keeps the first signal in :attr:`asked` inside its block; a second Ctrl-C stops at once.

    Lightning turns Ctrl-C into an exit and leaves it ignored afterwards, and answers the others
    with a checkpoint of its own; here they are ours, and what handled them before does so again
    after the block. In threads other than the main one nothing is changed, and a signal that is
    ignored (Ctrl-C in a job in the background) stays so.
    """

    def __init__(self) -> None:
        #: The number of the signal; 0 before there is one.
        self.asked = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if _in_main_thread():
            found = {number: signal.getsignal(number) for number in (signal.SIGINT, *SCHEDULER)}
            self._before = {n: one for n, one in found.items() if one is not signal.SIG_IGN}
            self.listen()
        return self

    def listen(self) -> None:
        """Take the signals over from whoever has set handlers inside the block."""
        for number in self._before:
            signal.signal(number, self._note)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise :class:`KeyboardInterrupt` with the signal's number, if there was one."""
        if self.asked:
            raise KeyboardInterrupt(self.asked)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if not self.asked:
            self.asked = number
            logger.info("stopping after this step with a checkpoint; Ctrl-C again stops at once")
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
