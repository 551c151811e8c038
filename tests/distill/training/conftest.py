"""A tiny training that tests can run here or in a process that they kill."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("tiny_training.py")
Start = Callable[[Path, dict[str, Any]], int]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The functions of ``tiny_training.py``, which is also the script of the killed processes."""
    spec = importlib.util.spec_from_file_location("tiny_training", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny_training"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def start() -> Iterator[Start]:
    """Trains in a process of its own and gives its exit status."""
    command = [sys.executable, str(SCRIPT)]
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
