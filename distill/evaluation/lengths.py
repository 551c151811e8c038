"""Inputs as long as a task's own: what a user's rows cost, rather than what one length costs.

Only lengths are taken from the rows. Ids are drawn at random, as no engine's time depends on them
and models may have vocabularies of their own. A batch's ``index`` says which rows it stands for, to
what reads their texts.

Legend: B batch, L length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_CLS, _SEP = 101, 102
#: Batches are taken from as many examples as this many of them, so that rows of a batch are alike.
_BATCHES = 50

Inputs = dict[str, npt.NDArray[np.int64]]


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
    example_lengths: Sequence[int] | npt.NDArray[np.integer], batch: int, count: int, *,
    vocab_size: int, seed: int,
) -> list[Inputs]:  # fmt: skip
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


def nearest_examples(
    example_lengths: Sequence[int] | npt.NDArray[np.integer], batch: int, length: int
) -> npt.NDArray[np.int64]:
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


def summarise(example_lengths: Sequence[int] | npt.NDArray[np.integer]) -> dict[str, float | int]:
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
