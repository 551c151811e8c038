"""A process that has imported what runs need, and runs the command line in copies of itself.

A line of standard input is a JSON list: the words of a command, the folder to run it in and to
cache in, a file for what it prints, and the path whose appearance ends it with SIGKILL. The answer
is its exit status.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def forked(words: list[str], cwd: str, log: str, sign: Path, *, patience: float = 240.0) -> int:
    """Run a command until ``sign`` is there; its status, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        _run(words, cwd, log)
    deadline = time.monotonic() + patience
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if sign.exists() or time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            ended = os.waitpid(child, 0)
            break
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(ended[1])


def _run(words: list[str], cwd: str, log: str) -> None:
    from distill.cli.main import main

    status = 1
    try:
        os.setsid()  # what it starts, such as W&B's service, is killed with it
        os.chdir(cwd)
        os.environ["DISTILL_CACHE"] = cwd
        with open(log, "w") as file:  # noqa: PTH123
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        status = main(words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    import torch

    import distill.pipeline.runner
    import distill.stages.evaluate
    import distill.stages.export
    import distill.stages.quantize  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        told_words, folder, output, awaited = json.loads(line)
        print(forked(told_words, folder, output, Path(awaited)), flush=True)
