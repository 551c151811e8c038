"""The vectors of a file as one array: what `numpy.save` would write, made a window at a time."""

from __future__ import annotations

import json

import numpy as np
import pytest

from distill.runtime import job as jobs
from distill.runtime import load, progress
from distill.runtime.job import Job, run_job
from distill.runtime.results import header
from distill.system.errors import DataError

WINDOW = 8
TEXTS = [f"the film number {number} {'good ' * (number % 5)}" for number in range(30)]


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(jobs, "WINDOW", WINDOW)
    monkeypatch.setattr(progress, "SAVE_SECONDS", 0)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("".join(f"{text}\n" for text in TEXTS))
    return path


def job(source, name="vectors.npy", **rest):
    return Job((str(source),), out=source.parent / "out" / name, vectors=True, **rest)


@pytest.mark.parametrize("whitening", [None, 8])
def test_the_array_is_the_vectors_in_their_order(vector_bundle, source, whitening):
    model = load(vector_bundle(whitening=whitening))
    one = job(source)
    report = run_job(model, one)
    assert (report.rows, report.bad) == (30, 0)
    found = np.load(one.out, mmap_mode="r")
    assert isinstance(found, np.memmap)
    windows = [model.encode(TEXTS[at : at + WINDOW]) for at in range(0, 30, WINDOW)]
    assert np.array_equal(found, np.concatenate(windows))
    assert found.shape == (30, whitening or 32)
    assert [path.name for path in one.out.parent.iterdir()] == ["vectors.npy"]


@pytest.mark.parametrize("dies_at", [1, 3])
def test_a_stopped_job_goes_on_to_the_same_bytes(vector_bundle, source, monkeypatch, dies_at):
    model = load(vector_bundle())
    whole, parts = job(source, "whole.npy"), job(source, "parts.npy")
    run_job(model, whole)
    encode, calls = model.encode, []

    def dying(texts, **rest):
        calls.append(texts)
        if len(calls) > dies_at:
            raise KeyboardInterrupt
        return encode(texts, **rest)

    monkeypatch.setattr(model, "encode", dying)
    with pytest.raises(KeyboardInterrupt):
        run_job(model, parts)
    # What grows may be looked at; it says that it holds no rows yet.
    assert np.load(parts.partial).shape == (0, 32)
    assert not parts.out.exists()
    monkeypatch.setattr(model, "encode", encode)
    with pytest.raises(DataError, match=r"an unfinished job, .* rows done; go on with --resume"):
        run_job(model, parts)
    report = run_job(model, job(source, "parts.npy", resume=True))
    assert (report.before, report.rows) == (dies_at * WINDOW, 30)
    assert parts.out.read_bytes() == whole.out.read_bytes()


def test_a_job_killed_before_the_header_was_whole_ends_in_the_same_bytes(
    vector_bundle, source, monkeypatch
):
    model = load(vector_bundle())
    whole, parts = job(source, "whole.npy"), job(source, "parts.npy")
    run_job(model, whole)
    with monkeypatch.context() as patch:
        patch.setattr("distill.runtime.results.header", lambda *_: None)
        patch.setattr(jobs.VectorFile, "lines", _lines)
        with pytest.raises(TypeError):
            run_job(model, parts)
    report = run_job(model, job(source, "parts.npy", resume=True))
    assert report.before == 30
    assert parts.out.read_bytes() == whole.out.read_bytes()


def _lines(self, rows, vectors):
    head = b"" if self.columns is not None else header(0, 32)
    self.columns = []
    return head + np.stack(vectors).tobytes()


def test_rows_that_cannot_be_used_have_no_place_in_the_array(vector_bundle, tmp_path):
    source = tmp_path / "in.jsonl"
    rows = [json.dumps({"text": text}) for text in TEXTS[:5]]
    source.write_text("\n".join([*rows[:2], "{broken", *rows[2:]]))
    model = load(vector_bundle())
    one = job(source, skip_bad=True)
    report = run_job(model, one)
    assert (report.rows, report.bad) == (5, 1)
    assert np.array_equal(np.load(one.out), model.encode(TEXTS[:5]))
    assert json.loads(one.bad.read_text())["place"] == f"{source}:3"


def test_what_cannot_be_written_is_told(vector_bundle, bundle, source):
    with pytest.raises(DataError, match=r"vectors.csv: an array of vectors is a \.npy file"):
        run_job(load(vector_bundle()), job(source, "vectors.csv"))
    with pytest.raises(DataError, match="a bundle for classification, which gives no vectors"):
        run_job(load(bundle()), job(source))
