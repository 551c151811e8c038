"""The machine's facts, without its name."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import psutil

from distill.evaluation.machine import _quota, machine, physical_cores


def test_it_tells_the_processor_and_versions_but_no_host_name():
    found = machine()
    assert set(found) == {
        "cpu", "isa", "cores", "memory_gb", "platform", "python", "versions",
    }  # fmt: skip
    assert found["cpu"]
    assert {"torch", "transformers", "onnxruntime"} <= set(found["versions"])
    values = [str(value) for value in found.values()]
    assert platform.node() not in values
    assert json.loads(json.dumps(found)) == found


def test_cores_are_at_least_one_and_not_more_than_there_are():
    assert 1 <= physical_cores() <= (psutil.cpu_count() or 1)


def test_a_containers_limit_is_read(tmp_path: Path):
    file = tmp_path / "cpu.max"
    file.write_text("200000 100000\n")
    assert _quota(file) == 2
    file.write_text("50000 100000\n")
    assert _quota(file) == 1
    file.write_text("max 100000\n")
    assert _quota(file) is None
    assert _quota(tmp_path / "missing") is None
