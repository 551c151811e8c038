"""The machine's facts, without its name."""

from __future__ import annotations

import json
import platform

from distill.evaluation.machine import machine


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
