"""What a process writes past Python's loggers, sent to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def into_file(path: Path) -> Iterator[None]:
    """Append standard output and standard error, those of C and C++ parts too, to a file."""
    _flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        for number, _ in kept:
            os.dup2(file, number)
        yield
    finally:
        _flush()
        for number, before in kept:
            os.dup2(before, number)
            os.close(before)
        os.close(file)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
