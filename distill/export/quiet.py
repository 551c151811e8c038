"""Silence around exporters, which print steps and warn about choices that are made here."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


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
