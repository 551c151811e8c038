"""A test that two processes do as one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_START = """
import sys, torch
from torch import distributed
rank, place = int(sys.argv[1]), sys.argv[2]
sys.path[:0] = sys.argv[3:]

def join():
    distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
"""


def run_both(code: str, file: str, folder: Path) -> None:
    """Run code in two processes, which have ``rank`` and ``join()``; both must end well.

    Args:
        code: may import from the test's file.
        file: the test's.
        folder: where they meet.
    """
    command = [sys.executable, "-c", f"{_START}{code}\ndistributed.destroy_process_group()"]
    paths = [Path(file).parent, Path(__file__).parent]
    both = [subprocess.Popen([*command, str(rank), folder / "meet", *paths]) for rank in range(2)]
    assert [process.wait(timeout=240) for process in both] == [0, 0]
