"""Messages: the ``distill`` logger's records as plain lines on standard error."""

from __future__ import annotations

import logging
import sys

logger = logging.getLogger("distill")


class Messages(logging.Handler):
    """Writes log records as plain lines to whatever standard error is at that moment.

    A running bar replaces standard error so that lines appear above it; a handler that kept the
    first one would write through the bar.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, warnings and errors with their level in front."""
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
