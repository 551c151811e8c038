"""Who is called when and how often; never how fast this machine is."""

from __future__ import annotations

import gc
import logging

import numpy as np
import pytest
import torch

from distill.evaluation import speed
from distill.evaluation.speed import measure, random_batch, real_batches


class Recorder:
    """A predictor that notes its calls and lets a fake clock run on."""

    format = "transformers"

    def __init__(self, name, clock, seconds):
        self.name, self.clock, self.seconds = name, clock, seconds
        self.shapes = []

    def __call__(self, batch):
        self.shapes.append(batch["input_ids"].shape)
        self.clock.log.append(self.name)
        self.clock.collecting.append(gc.isenabled())
        self.clock.now += self.seconds
        return np.zeros((len(batch["input_ids"]), 2), dtype=np.float32)


class Clock:
    def __init__(self):
        self.now, self.log, self.collecting = 0.0, [], []

    def sleep(self, seconds):
        self.log.append("pause")


@pytest.fixture
def clock(monkeypatch):
    fake = Clock()
    monkeypatch.setattr(speed.psutil, "cpu_percent", lambda interval: 5.0)
    monkeypatch.setattr(speed.time, "perf_counter", lambda: fake.now)
    monkeypatch.setattr(speed.time, "sleep", fake.sleep)
    return fake


def timed(predictors, **changes):
    settings = {
        "batch_sizes": [1], "lengths": [16], "threads": 1, "repeats": 10,
        "vocab_size": 100, "seed": 0,
    }  # fmt: skip
    return measure({p.name: p for p in predictors}, **(settings | changes))


def test_latency_and_throughput_of_every_cell(clock):
    found = timed([Recorder("a", clock, 0.002)], batch_sizes=[1, 4], lengths=[16, 32])
    cells = ["b1_l16", "b4_l16", "b1_l32", "b4_l32"]
    assert list(found["a"]["latency_ms"]) == cells
    assert found["a"]["latency_ms"]["b4_l32"] == {"p50": 2.0, "p95": 2.0}
    assert found["a"]["throughput"]["b4_l32"] == 2000.0
    assert found["a"]["calls"] == dict.fromkeys(cells, 10)


def test_models_take_turns_and_who_begins_changes(clock):
    timed([Recorder(name, clock, 0.001) for name in "abc"])
    turns = "".join(clock.log).split("pause")[2:]
    assert [turn[0] for turn in turns] == list("abcbcacababcbca")
    # Two untimed calls, then 10 calls in 5 rounds.
    assert {len(turn) for turn in turns} == {2 + 2}


def test_a_slow_model_gets_fewer_calls_and_that_is_told(clock, caplog):
    with caplog.at_level(logging.INFO, logger="distill"):
        found = timed([Recorder("slow", clock, 3.0), Recorder("fast", clock, 0.001)])
    assert found["slow"]["calls"] == {"b1_l16": 3}
    assert found["fast"]["calls"] == {"b1_l16": 10}
    assert "slow at batch 1, length 16: 3 calls instead of 10 (3 s each)" in caplog.text


def test_threads_and_garbage_collection_are_put_back(clock):
    before = torch.get_num_threads()
    timed([Recorder("a", clock, 0.001)], threads=before + 1)
    assert torch.get_num_threads() == before
    assert gc.isenabled()
    assert not any(clock.collecting[-10:])


def test_a_busy_machine_is_told_beforehand(clock, monkeypatch, caplog):
    timed([Recorder("a", clock, 0.001)])
    assert "busy" not in caplog.text
    monkeypatch.setattr(speed.psutil, "cpu_percent", lambda interval: 90.0)
    assert timed([Recorder("a", clock, 0.001)])["a"]["busy_percent"] == 90.0
    assert "other programs keep the processor 90 % busy" in caplog.text


def test_real_lengths_are_a_cell_and_every_model_gets_the_same_rows(clock):
    models = [Recorder("a", clock, 0.001), Recorder("b", clock, 0.004)]
    found = timed(
        models, lengths=["real", 16], batch_sizes=[1, 2], example_lengths=[4, 9, 30], repeats=7
    )
    assert list(found["a"]["latency_ms"]) == ["b1_real", "b2_real", "b1_l16", "b2_l16"]
    assert found["a"]["throughput"]["b2_real"] == 2000.0
    assert {length for _, length in models[0].shapes} == {4, 9, 30, 16}
    # Apart from warming up, of which the slower one does less.
    assert models[0].shapes[-60:] == models[1].shapes[-60:]


ROWS = [3] * 50 + [10] * 40 + [60] * 10


def test_inputs_fill_the_length_between_cls_and_sep():
    batch = random_batch(3, 12, vocab_size=30522, seed=1)
    assert {name: (a.shape, a.dtype.name) for name, a in batch.items()} == dict.fromkeys(
        ["input_ids", "attention_mask", "token_type_ids"], ((3, 12), "int64")
    )
    assert (batch["input_ids"][:, 0] == 101).all()
    assert (batch["input_ids"][:, -1] == 102).all()
    assert batch["attention_mask"].all()
    assert (random_batch(3, 12, vocab_size=30522, seed=1)["input_ids"] == batch["input_ids"]).all()
    assert random_batch(3, 12, vocab_size=50, seed=1)["input_ids"].max() < 50


def lengths(batches):
    return [int(batch["attention_mask"].sum()) for batch in batches]


def test_single_rows_have_the_lengths_of_the_rows():
    found = lengths(real_batches(ROWS, 1, 40, vocab_size=100, seed=0))
    assert set(found) == {3, 10, 60}
    assert abs(np.mean(found) - np.mean(ROWS)) < 3
    # The median first, and long and short ones among the first few already.
    assert found[0] == 10
    assert set(found[:16]) == {3, 10, 60}


def test_rows_of_a_batch_are_alike_and_padded_to_the_longest():
    batches = real_batches(ROWS, 8, 20, vocab_size=100, seed=0)
    for batch in batches:
        mask = batch["attention_mask"]
        assert mask.shape == batch["input_ids"].shape == batch["token_type_ids"].shape
        assert mask.sum(axis=1).max() == mask.shape[1]
        assert (batch["input_ids"][mask == 0] == 0).all()
    alike = [len(set(batch["attention_mask"].sum(axis=1).tolist())) for batch in batches]
    assert max(alike) <= 2
