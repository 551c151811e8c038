"""The memory a model needs to answer: the peak of a fresh process that loads it and predicts.

Run as ``python -m distill.evaluation.memory FORMAT PATH LENGTH THREADS``, it is that process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from distill.system.errors import UserError


def peak_memory_mb(format: str, path: Path, *, length: int, threads: int) -> float:
    """Megabytes (of 10^6 bytes) that a process of its own held at most, Python included.

    ``path`` is a folder in the format ``transformers`` (PyTorch eager), else a file. A UserError
    where the process fails.
    """
    command = [sys.executable, "-m", __name__, format, str(path), str(length), str(threads)]
    # What is on this process's path, so that the same distill is imported.
    own = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise UserError(f"{path}: its memory could not be measured ({last})")
    return float(done.stdout.splitlines()[-1])


def _load_and_predict(format: str, path: Path, length: int, threads: int) -> None:
    import numpy as np

    ids = np.ones((1, length), dtype=np.int64)
    if format == "transformers":
        from distill.evaluation.predictors import TorchPredictor
        from teachers.load import load_model

        TorchPredictor(load_model(path), threads)({"input_ids": ids, "attention_mask": ids})
        return
    from distill.runtime.backends import open_session

    open_session(format, path, threads).run(ids, ids, np.zeros_like(ids))


def _peak() -> float:
    status = Path("/proc/self/status")
    if status.is_file():
        # Not `ru_maxrss`: Linux hands it on from the process that started this one.
        line = next(x for x in status.read_text("ascii").splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    _load_and_predict(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    print(round(_peak(), 1))
