"""The command line in a process of its own that a test sends signals to."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil


def _heed_ctrl_c() -> None:
    """A job in the background inherits an ignored Ctrl-C; here it must count."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def begun(words: list[str], cwd: Path, sign: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a command and wait until ``sign`` is there; the process, and the file it prints to."""
    said = cwd / "said.txt"
    with said.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "distill", *words],
            cwd=cwd, stdout=file, stderr=subprocess.STDOUT, preexec_fn=_heed_ctrl_c,
        )  # fmt: skip
    deadline = time.monotonic() + 400
    while not sign.exists():
        assert process.poll() is None, said.read_text("utf-8")
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return process, said


def started_by(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)
