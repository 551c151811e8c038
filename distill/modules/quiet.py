"""Lightning's chatter, silenced in one place: we tell a person what they need ourselves."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_TALKERS = ("lightning.pytorch", "lightning.fabric", "lightning_fabric", "pytorch_lightning")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide Lightning's tips, device lines and advice inside the block; errors still come through.

    Advice concerns what is chosen here on purpose: no workers (batches are memory-mapped), no
    validation loader (``fit`` evaluates by itself), folders that exist (a resumed run). Warnings
    raised elsewhere are left alone.
    """
    loggers = [logging.getLogger(name) for name in _TALKERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # Lightning's warnings carry the caller's module, so its own files are matched.
            warnings.filterwarnings("ignore", module=r"lightning(_fabric|_utilities)?\b.*")
            warnings.filterwarnings("ignore", message=r".*(DataLoader|dataloader|num_workers).*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
