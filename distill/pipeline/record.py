"""What a run folder keeps of each start: the machine and the versions, and what was said."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distill.run_folder import RunFolder
from distill.system import atomic

logger = logging.getLogger("distill")


def record_environment(folder: RunFolder) -> None:
    """Append machine and versions of this start; say so when they changed since the last."""
    from distill.evaluation.machine import machine

    found = (
        json.loads(folder.environment.read_text("utf-8")) if folder.environment.is_file() else []
    )
    now = machine()
    if found and found[-1]["machine"] != now:
        changed = sorted(k for k in now if found[-1]["machine"].get(k) != now[k])
        logger.info("resumed on another machine or with other versions: %s", ", ".join(changed))
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    atomic.write_json(folder.environment, [*found, {"started": started, "machine": now}])


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Write what is said to ``log.txt`` too."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
