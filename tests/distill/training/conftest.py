"""Trainings in processes that tests kill."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_training

Start = Callable[[Path, dict[str, Any]], int]


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Trains in a process of its own and gives its exit status."""
    command = [sys.executable, tiny_training.__file__]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        stdin, stdout = server.stdin, server.stdout

        def run(folder: Path, settings: dict[str, Any]) -> int:
            stdin.write(json.dumps([str(folder), settings]) + "\n")
            stdin.flush()
            return int(stdout.readline())

        yield run
        stdin.close()
