import json

import numpy as np
import pytest

from distill.cli.main import main
from distill.runtime import load, tuning
from distill.runtime import model as module
from distill.runtime.manifest import read_manifest, write_runtime
from distill.runtime.workers import Tuned, compute
from distill.text.encoding import TextEncoder

TEXTS = ["the best film", "", "a long and dull story about a film that was never good", "bad"] * 9


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(tuning, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(tuning, "_ROUNDS", 2)
    monkeypatch.setattr(tuning, "_SINGLE_ROWS", 3)


@pytest.mark.parametrize("given", [True, False])
def test_the_command_measures_writes_and_is_obeyed(
    bundle, quick, tmp_path, capsys, monkeypatch, given
):
    folder = bundle()
    rows = tmp_path / "rows.txt"
    rows.write_text("\n".join(text or "x" for text in TEXTS))
    words = ["tune-runtime", str(folder), "--cores", "2", *(["--rows", str(rows)] if given else [])]
    assert main(words) in (0, None)
    out = capsys.readouterr().out
    assert "chosen for single examples: onnx-int8, " in out
    said = json.loads((folder / "distill.json").read_text())["runtime"]
    single, many = said["measured"]["latency_ms"], said["measured"]["examples_per_second"]
    # threads x fusions; (threads, instances) x batch sizes x multiples
    assert (len(single), len(many)) == (4, 8)
    assert {entry["format"] for entry in single} == {"onnx-int8"}
    assert said["latency"] in single
    assert said["throughput"] in many
    assert min(entry["ms"] for entry in single) >= 0.96 * said["latency"]["ms"]
    assert said["isa"] == read_manifest(folder).runtime["isa"]
    monkeypatch.setattr("distill.runtime.workers.usable_cores", lambda: 2)
    assert load(folder).tuned == Tuned(said["latency"], said["throughput"])


def test_a_choice_is_followed_unless_something_else_is_asked_for(bundle, monkeypatch):
    folder = bundle()
    monkeypatch.setattr("distill.runtime.workers.usable_cores", lambda: 2)
    base = {"format": "onnx", "threads": 1, "disabled_optimizers": []}
    many = base | {"instances": 2, "batch_size": 4, "padding_multiple": 8}
    write_runtime(folder, {"latency": base, "throughput": many})
    opened, batches = [], []

    def spy(name, path, threads=None, *, settings):
        opened.append((name, threads, list(settings.get("disabled_optimizers", ["default"]))))
        return original(name, path, threads, settings=settings)

    original = module.open_session
    monkeypatch.setattr(module, "open_session", spy)
    real = TextEncoder.batch
    monkeypatch.setattr(
        TextEncoder,
        "batch",
        lambda self, rows, *, multiple=1: (
            batches.append((len(rows), multiple)) or real(self, rows, multiple=multiple)
        ),
    )
    tuned = load(folder)
    assert (tuned.format, opened) == ("onnx", [("onnx", 1, [])])
    found = tuned.logits(TEXTS)
    assert opened[1:] == [("onnx", 1, [])]
    assert {size for size, _ in batches} == {4}
    assert {multiple for _, multiple in batches} == {8}
    opened.clear()
    plain = load(folder, format="onnx", threads=1)
    assert opened == [("onnx", 1, ["default"])]
    np.testing.assert_allclose(found, plain.logits(TEXTS), atol=1e-5)


def test_a_choice_for_more_cores_than_there_are_is_left_aside(bundle, monkeypatch):
    folder = bundle()
    part = {"format": "onnx", "threads": 64, "instances": 1, "batch_size": 8}
    write_runtime(folder, {"latency": part, "throughput": part})
    monkeypatch.setattr("distill.runtime.workers.usable_cores", lambda: 2)
    assert Tuned.of(read_manifest(folder)) == Tuned()
    assert load(folder, threads=1).format == "onnx-int8"
    monkeypatch.setattr("distill.runtime.workers.usable_cores", lambda: 64)
    assert Tuned.of(read_manifest(folder)).latency["threads"] == 64


def test_instances_give_the_same_answers_in_the_same_order(bundle):
    loaded = load(bundle(), format="onnx", threads=1)
    expected = loaded.logits(TEXTS)
    for instances in (2, 3, 50):
        found = loaded.logits(TEXTS, batch_size=4, instances=instances)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert loaded.predict(TEXTS, instances=2)[0]["label"] == loaded.predict(TEXTS)[0]["label"]


def test_batches_run_side_by_side(bundle):
    import threading

    loaded = load(bundle(), threads=1)
    both = threading.Barrier(2, timeout=10)

    class Session:
        threads = 1

        def run(self, ids, mask, types):
            both.wait()  # passes only if two calls are under way at the same time
            return np.zeros((len(ids), 3), dtype=np.float32)

    rows = loaded.encoder.encode(["a", "the film", "bad", "good film"])
    found = compute(Session(), rows, loaded.encoder, instances=2, batch_size=32)
    assert np.shape(found) == (4, 3)
