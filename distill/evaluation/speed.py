"""How fast models answer, measured side by side so that the ratios are fair.

Models take turns within one process, on the same number of threads, over full-length random
tokens; a model's turn begins with a pause and untimed calls (see ``_turn``).

Legend: B batch, L length.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from distill.console import Bar
from distill.evaluation.predictors import Predictor, torch_threads

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


def measure(
    predictors: Mapping[str, Predictor],
    *,
    batch_sizes: Sequence[int],
    lengths: Sequence[int],
    threads: int,
    repeats: int,
    vocab_size: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Time every model at every batch size and length.

    Args:
        predictors: models by name; each must have been made with the same ``threads``.
        batch_sizes: examples in a call (B).
        lengths: tokens of each example (L), special tokens included; no padding.
        threads: intra-op threads of torch; those of ONNX Runtime are the sessions' own.
        repeats: timed calls per model and cell. A model for which they would take more than a few
            seconds gets fewer (3 or more); ``calls`` says how many.
        vocab_size: ids are drawn below it.
        seed: seeds the ids.

    Returns:
        For every name ``latency_ms`` (``{"b1_l32": {"p50": .., "p95": ..}}``, of one call),
        ``throughput`` (examples/s at the median, same keys) and ``calls`` (same keys).
    """
    out: dict[str, dict[str, Any]] = {
        name: {"latency_ms": {}, "throughput": {}, "calls": {}} for name in predictors
    }
    cells = [(batch, length) for length in lengths for batch in batch_sizes]
    _warn_if_busy()
    with torch_threads(threads), Bar("timing", len(cells) * _ROUNDS) as bar:
        for batch, length in cells:
            inputs = random_batch(batch, length, vocab_size=vocab_size, seed=seed)
            cell = f"b{batch}_l{length}"
            for name, seconds in _time_cell(predictors, inputs, repeats, bar).items():
                p50, p95 = np.percentile(seconds, (50, 95))
                out[name]["latency_ms"][cell] = {
                    "p50": round(float(p50) * 1e3, 4),
                    "p95": round(float(p95) * 1e3, 4),
                }
                out[name]["throughput"][cell] = round(batch / float(p50), 2)
                out[name]["calls"][cell] = len(seconds)
                if len(seconds) < repeats:
                    logger.info(
                        "timing: %s at batch %d, length %d: %d calls instead of %d (%.2g s each)",
                        *(name, batch, length, len(seconds), repeats, p50),
                    )
    return out


def _warn_if_busy() -> None:
    """Say so when other programs would disturb what is about to be timed."""
    time.sleep(_PAUSE_SECONDS)  # this process's own idle workers come to rest
    busy = psutil.cpu_percent(interval=0.3)
    if busy > _BUSY_PERCENT:
        logger.warning(
            "timing: other programs keep the processor %.0f %% busy, which disturbs latencies", busy
        )


def random_batch(
    batch: int, length: int, *, vocab_size: int, seed: int
) -> dict[str, npt.NDArray[np.int64]]:
    """Random ids between [CLS] and [SEP] that fill the whole length; arrays (B, L) of int64."""
    ids = np.random.default_rng(seed).integers(0, vocab_size, size=(batch, length), dtype=np.int64)
    ids[:, 0] = min(_CLS, vocab_size - 1)
    ids[:, -1] = min(_SEP, vocab_size - 1)
    return {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }


def share_of_calls(calls: int, rounds: int) -> list[int]:
    """How many of ``calls`` fall into each of ``rounds``, as evenly as whole numbers allow."""
    return [(r + 1) * calls // rounds - r * calls // rounds for r in range(rounds)]


def _time_cell(
    predictors: Mapping[str, Predictor],
    inputs: dict[str, npt.NDArray[np.int64]],
    repeats: int,
    bar: Bar,
) -> dict[str, list[float]]:
    names = list(predictors)
    usual = {name: _warm_up(predictors[name], inputs) for name in names}
    plan = {
        name: share_of_calls(_affordable_calls(usual[name], repeats), _ROUNDS) for name in names
    }
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with _no_garbage_collection():
        for turn in range(_ROUNDS):
            first = turn % max(len(names), 1)
            for name in names[first:] + names[:first]:
                seconds[name] += _turn(predictors[name], inputs, plan[name][turn], usual[name])
            bar.advance(status="batch {} length {}".format(*inputs["input_ids"].shape))
    return seconds


def _warm_up(predictor: Predictor, inputs: dict[str, npt.NDArray[np.int64]]) -> float:
    """Call until memory is laid out and code is cached; the shortest call in seconds."""
    calls: list[float] = []
    while len(calls) < 2 or (len(calls) < 8 and sum(calls) < 0.5):
        calls.append(_call(predictor, inputs))
    return min(calls)


def _affordable_calls(seconds: float, repeats: int) -> int:
    return min(repeats, max(_FEWEST_CALLS, int(_BUDGET_SECONDS / seconds)))


def _turn(
    predictor: Predictor,
    inputs: dict[str, npt.NDArray[np.int64]],
    calls: int,
    usual: float,
) -> list[float]:
    """One model's timed calls of one round, in seconds each."""
    if calls == 0:
        return []
    if usual < _LONG_CALL_SECONDS:
        time.sleep(_PAUSE_SECONDS)
        for _ in range(_SETTLING_CALLS):
            predictor(inputs)
    return [_call(predictor, inputs) for _ in range(calls)]


def _call(predictor: Predictor, inputs: dict[str, npt.NDArray[np.int64]]) -> float:
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
