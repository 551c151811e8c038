"""How fast models answer, measured side by side so that the ratios are fair.

Models take turns within one process, on the same number of threads, over the same inputs: random
tokens of one length, or of a task's real lengths: what a user's rows cost, rather than what one
length costs. A model's turn begins with a pause and untimed calls (see ``_turn``).

Only lengths are taken from the rows. Ids are drawn at random, as no engine's time depends on them
and models may have vocabularies of their own. A batch's ``index`` says which rows it stands for, to
what reads their texts.

Legend: B batch, L length.
"""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from distill.evaluation.cells import REAL, cell_name
from distill.evaluation.predictors import Predictor, torch_threads
from distill.system.console import Bar

logger = logging.getLogger("distill")

_ROUNDS = 5
_BUDGET_SECONDS = 4.0  # timed work of one model in one cell
_FEWEST_CALLS = 3
# After a call, ONNX Runtime's and OpenMP's idle workers spin for up to about 50 ms. Without a
# pause they take the cores from the next model: on 2 cores a 9 ms model then seemed to take 24 ms,
# with 50 ms of pause and one or two untimed calls the same 9 ms as alone.
_PAUSE_SECONDS = 0.08
_SETTLING_CALLS = 2
_LONG_CALL_SECONDS = 0.25  # spinning leftovers no longer matter to a call as long as this
_BUSY_PERCENT = 20.0
_CLS, _SEP = 101, 102
#: Batches are taken from as many examples as this many of them, so that rows of a batch are alike.
_BATCHES = 50

Inputs = dict[str, npt.NDArray[np.int64]]
Lengths = Sequence[int] | npt.NDArray[np.integer]


def measure(
    predictors: Mapping[str, Predictor],
    *,
    batch_sizes: Sequence[int],
    lengths: Sequence[int | str],
    threads: int,
    repeats: int,
    vocab_size: int,
    seed: int,
    example_lengths: Sequence[int] = (),
) -> dict[str, dict[str, Any]]:
    """Time every model at every batch size and length.

    Args:
        predictors: models by name; each must have been made with the same ``threads``.
        batch_sizes: examples in a call (B).
        lengths: tokens of each example (L), special tokens included; no padding. ``real``: as
            ``example_lengths``, every call another batch, from short rows to long ones.
        threads: intra-op threads of torch; those of ONNX Runtime are the sessions' own.
        repeats: timed calls per model and cell. A model for which they would take more than a few
            seconds gets fewer (3 or more); ``calls`` says how many.
        vocab_size: ids are drawn below it.
        seed: seeds the ids.
        example_lengths: tokens of real rows; needed where ``lengths`` has ``real``.

    Returns:
        For every name ``latency_ms`` (``{"b1_l32": {"p50": .., "p95": ..}}``, of one call; the cell
        of real lengths is ``b1_real``), ``throughput`` (examples/s at the median, or over all calls
        at real lengths, same keys) and ``calls`` (same keys). ``busy_percent`` is there where other
        programs kept the processor busy.

    Raises:
        ValueError: real lengths are asked for and there are no rows.
    """
    if REAL in lengths and not len(example_lengths):
        raise ValueError("real lengths need example_lengths")
    cells = [(batch, length) for length in lengths for batch in batch_sizes]
    busy = _busy_percent()
    also = {"busy_percent": busy} if busy else {}
    out: dict[str, dict[str, Any]] = {
        name: {"latency_ms": {}, "throughput": {}, "calls": {}, **also} for name in predictors
    }
    with torch_threads(threads), Bar("timing", len(cells) * _ROUNDS) as bar:
        for batch, length in cells:
            made = {"vocab_size": vocab_size, "seed": seed}
            inputs = _inputs(example_lengths, batch, length, repeats, **made)
            for name, seconds in _time_cell(predictors, inputs, repeats, bar).items():
                for what, value in _statistics(seconds, batch, length).items():
                    out[name][what][cell_name(batch, length)] = value
                if len(seconds) < repeats:
                    logger.info(
                        "timing: %s at batch %d, length %s: %d calls instead of %d (%.2g s each)",
                        *(name, batch, length, len(seconds), repeats, np.median(seconds)),
                    )
    return out


def _inputs(
    example_lengths: Sequence[int], batch: int, length: int | str, repeats: int, **made: int
) -> list[Inputs]:
    """The batches of a cell, which its calls take in turns."""
    if length == REAL:
        return real_batches(example_lengths, batch, repeats, **made)
    only = random_batch(batch, int(length), **made)
    if len(example_lengths):
        only["index"] = nearest_examples(example_lengths, batch, int(length))
    return [only]


def _statistics(seconds: Sequence[float], batch: int, length: int | str) -> dict[str, Any]:
    p50, p95 = (float(value) for value in np.percentile(seconds, (50, 95)))
    usual = float(np.mean(seconds)) if length == REAL else p50
    return {
        "latency_ms": {"p50": round(p50 * 1e3, 4), "p95": round(p95 * 1e3, 4)},
        "throughput": round(batch / usual, 2),
        "calls": len(seconds),
    }


def _busy_percent() -> float:
    """What other programs take of the processor before anything is timed; 0: too little to tell."""
    time.sleep(_PAUSE_SECONDS)  # this process's own idle workers come to rest
    busy = float(psutil.cpu_percent(interval=0.3))
    if busy <= _BUSY_PERCENT:
        return 0.0
    logger.warning(
        "timing: other programs keep the processor %.0f %% busy, which disturbs latencies", busy
    )
    return busy


def _time_cell(
    predictors: Mapping[str, Predictor],
    inputs: Sequence[Inputs],
    repeats: int,
    bar: Bar,
) -> dict[str, list[float]]:
    names = list(predictors)
    usual = {name: _warm_up(predictors[name], inputs[0]) for name in names}
    affordable = {
        name: min(repeats, max(_FEWEST_CALLS, int(_BUDGET_SECONDS / usual[name]))) for name in names
    }
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with _no_garbage_collection():
        for turn in range(_ROUNDS):
            first = turn % max(len(names), 1)
            for name in names[first:] + names[:first]:
                # As many in each round as whole numbers allow.
                done, until = len(seconds[name]), (turn + 1) * affordable[name] // _ROUNDS
                turns = [inputs[call % len(inputs)] for call in range(done, until)]
                seconds[name] += _turn(predictors[name], turns, usual[name])
            bar.advance(status="batch {} length {}".format(*inputs[0]["input_ids"].shape))
    return seconds


def _warm_up(predictor: Predictor, inputs: Inputs) -> float:
    """Call until memory is laid out and code is cached; the shortest call in seconds."""
    calls: list[float] = []
    while len(calls) < 2 or (len(calls) < 8 and sum(calls) < 0.5):
        calls.append(_call(predictor, inputs))
    return min(calls)


def _turn(predictor: Predictor, inputs: Sequence[Inputs], usual: float) -> list[float]:
    """One model's timed calls of one round, one for each of the inputs, in seconds each."""
    if not inputs:
        return []
    if usual < _LONG_CALL_SECONDS:
        time.sleep(_PAUSE_SECONDS)
        for _ in range(_SETTLING_CALLS):
            predictor(inputs[0])
    return [_call(predictor, batch) for batch in inputs]


def _call(predictor: Predictor, inputs: Inputs) -> float:
    start = time.perf_counter()
    predictor(inputs)
    return time.perf_counter() - start


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def random_batch(batch: int, length: int, *, vocab_size: int, seed: int) -> Inputs:
    """Random ids between [CLS] and [SEP] that fill the whole length; arrays (B, L) of int64."""
    ids = np.random.default_rng(seed).integers(0, vocab_size, size=(batch, length), dtype=np.int64)
    ids[:, 0] = min(_CLS, vocab_size - 1)
    ids[:, -1] = min(_SEP, vocab_size - 1)
    return {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }


def real_batches(
    example_lengths: Lengths, batch: int, count: int, *, vocab_size: int, seed: int
) -> list[Inputs]:
    """Batches over the whole range of real lengths, each of rows of like length, padded to it.

    They come in an order in which the first few already cover the range evenly, so that a slow
    model that is given fewer of them is given long and short ones alike. The first has the median
    length.
    """
    every = np.asarray(example_lengths, dtype=np.int64)
    order = np.argsort(every, kind="stable")
    order = np.repeat(order, max(1, math.ceil(_BATCHES * batch / len(every))))
    made = []
    for number in range(count):
        first = round(((_spread(number) + 0.5) % 1.0) * (len(order) - batch))
        index = order[first : first + batch]
        lengths = every[index]
        inputs = random_batch(batch, int(lengths.max()), vocab_size=vocab_size, seed=seed + number)
        mask = (np.arange(lengths.max())[None, :] < lengths[:, None]).astype(np.int64)  # (B, L)
        given = {"attention_mask": mask, "input_ids": inputs["input_ids"] * mask, "index": index}
        made.append(inputs | given)
    return made


def nearest_examples(example_lengths: Lengths, batch: int, length: int) -> npt.NDArray[np.int64]:
    """The rows whose lengths are nearest to one, (B,); fewer rows than B are taken again."""
    order = np.argsort(np.abs(np.asarray(example_lengths, dtype=np.int64) - length), kind="stable")
    return np.resize(order[:batch], batch)


def _spread(number: int) -> float:
    """The van der Corput sequence: 0, 1/2, 1/4, 3/4, 1/8, ..."""
    value, place = 0.0, 0.5
    while number:
        value += place * (number & 1)
        number, place = number >> 1, place / 2
    return value


def summarise(example_lengths: Lengths) -> dict[str, float | int]:
    """The lengths of rows in a few numbers; see :class:`distill.evaluation.results.RealLengths`."""
    rows = np.asarray(example_lengths)
    p50, p95 = np.quantile(rows, (0.5, 0.95), method="nearest")
    return {
        "rows": len(rows),
        "mean": round(float(rows.mean()), 1),
        "p50": int(p50),
        "p95": int(p95),
        "longest": int(rows.max()),
    }
