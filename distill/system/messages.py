"""Messages: the ``distill`` logger's records as plain lines on standard error; and silence.

Apart from the console, whose library would cost every command a part of its start.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("distill")


class Messages(logging.Handler):
    """Writes log records as plain lines to whatever standard error is at that moment.

    A running bar replaces standard error so that lines appear above it; a handler that kept the
    first one would write through the bar.
    """

    def emit(self, record: logging.LogRecord) -> None:
        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        print(f"{prefix}{self.format(record)}", file=sys.stderr, flush=True)


def set_up_messages(level: int) -> None:
    """Send the ``distill`` logger's records from ``level`` up to standard error, once."""
    take_down_messages()
    logger.addHandler(Messages())
    logger.setLevel(level)
    logger.propagate = False


def take_down_messages() -> None:
    """Undo :func:`set_up_messages`, for a program that calls :func:`main` and lives on."""
    for handler in [found for found in logger.handlers if isinstance(found, Messages)]:
        logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def are_set_up() -> bool:
    """Whether records go to standard error."""
    return any(isinstance(handler, Messages) for handler in logger.handlers)


def _drop(_: logging.LogRecord) -> bool:
    return False


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Hide Python warnings, and what the named loggers say below an error, inside the block.

    ``""`` names the root logger: some exporters call ``logging.warning(...)``, which would also
    give the root logger a handler for the rest of the process.
    """
    loggers = [logging.getLogger(name) for name in names if name]
    levels = [logger.level for logger in loggers]
    root, keep_out = logging.getLogger(), logging.NullHandler()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            if "" in names:
                root.addHandler(keep_out)
                root.addFilter(_drop)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            root.removeHandler(keep_out)
            root.removeFilter(_drop)
