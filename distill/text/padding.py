"""Sequences of several lengths as one array: the one padding of training and serving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def pad(sequences: Sequence[Any], length: int, fill: int) -> npt.NDArray[np.int64]:
    """Pad sequences of integers at their ends.

    Args:
        sequences: B sequences of at most ``length`` integers.
        length: L.
        fill: stands behind the end of shorter ones.

    Returns:
        int64 (B, L).
    """
    padded = np.full((len(sequences), length), fill, dtype=np.int64)
    for place, sequence in enumerate(sequences):
        padded[place, : len(sequence)] = sequence
    return padded


def attention_mask(sequences: Sequence[Any], length: int) -> npt.NDArray[np.int64]:
    """1 at the tokens of each sequence and 0 behind its end, int64 (B, L)."""
    sizes = np.array([len(sequence) for sequence in sequences])
    mask: npt.NDArray[np.int64] = (np.arange(length) < sizes[:, None]).astype(np.int64)
    return mask
