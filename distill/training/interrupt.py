"""Ctrl-C during training: the step is finished and a checkpoint written before it counts."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any

logger = logging.getLogger("distill")


class Interrupt:
    """Notes the first Ctrl-C in :attr:`asked` inside its block; the second stops at once.

    Lightning turns Ctrl-C into an exit and leaves it ignored afterwards; here it is ours, and
    what handled it before does so again after the block. In threads other than the main one,
    and where Ctrl-C is ignored (a job in the background), nothing is changed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        logger.info("stopping after this step with a checkpoint; Ctrl-C again stops at once")
