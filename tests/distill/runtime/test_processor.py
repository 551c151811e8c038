"""int8 weights of 8 bits on a processor whose sums of them overflow."""

import json
import logging

import pytest

from distill.runtime import load
from distill.runtime import model as module
from distill.system import processor

VNNI = processor.Processor("new", ("avx2", "fma", "avx512f", "avx512_vnni"), known=True)
AVX2 = processor.Processor("old", ("avx2", "fma"), known=True)


@pytest.mark.parametrize(
    ("bits", "here", "machine", "warned"),
    [
        (8, AVX2, "x86_64", True),
        (8, VNNI, "x86_64", False),
        (7, AVX2, "x86_64", False),
        (8, processor.Processor("arm", ("asimd",), known=True), "aarch64", False),
    ],
)
def test_eight_bits_without_vnni_warn_once(
    bundle, monkeypatch, caplog, bits, here, machine, warned
):
    folder = bundle()
    path = folder / "distill.json"
    content = json.loads(path.read_text("utf-8"))
    content["formats"]["onnx-int8"]["weight_bits"] = bits
    content["isa"] = list(VNNI.isa)
    path.write_text(json.dumps(content), "utf-8")
    monkeypatch.setattr(module, "processor", lambda: here)
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    with caplog.at_level(logging.WARNING, logger="distill"):
        model = load(folder, format="onnx-int8", threads=1)
        load(folder, format="onnx", threads=1)
        model.predict(["the best film"])
    said = [line for line in caplog.messages if "VNNI" in line]
    assert len(said) == warned
    if warned:
        assert "avx512_vnni" in said[0]
        assert "weight_bits 7" in said[0]


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "flags: avx2 avx512f", True),
        ("x86_64", "flags: avx512f avx512_vnni", False),
        ("x86_64", "flags: avx2 avx_vnni", False),
        ("aarch64", "", False),
    ],
)
def test_which_processors_overflow(monkeypatch, machine, flags, expected):
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(processor.Path, "read_text", lambda *_, **__: flags)
    assert processor.processor().overflows_int8 is expected
