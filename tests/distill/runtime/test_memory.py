"""A session as a guest: the memory of a large batch goes back once small ones follow."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
from distill.runtime import load
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4  # KB
model = load(sys.argv[1], threads=1)
def shorts():
    for n in range(500):
        model.predict([f"a good film {n}"])
    return resident()
before = shorts()
model.predict(["film " * 200] * 512, batch_size=512)
large = resident()
print(before, large, shorts())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_large_batch_does_not_hold_its_memory(bundle):
    call = [sys.executable, "-c", SCRIPT, str(bundle(max_length=128))]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    before, large, after = map(int, done.stdout.split())
    assert large > before * 1.2  # else there is nothing to give back
    assert after < before * 1.1
