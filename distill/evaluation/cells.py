"""Cells of a timing: a batch size and a length, such as ``b1_l32`` or ``b1_real``.

Importing this module loads neither torch nor numpy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: In place of a number of tokens: the rows' own lengths.
REAL = "real"
_CELL = re.compile(r"b(\d+)_(?:l(\d+)|real)")


def cell_name(batch: int, length: int | str) -> str:
    """The key of a batch size and length."""
    return f"b{batch}_{REAL}" if length == REAL else f"b{batch}_l{length}"


def split_cell(cell: str) -> tuple[int, int]:
    """Batch size and length of a key such as ``b1_l32``; of ``b1_real`` the length is 0."""
    match = _CELL.fullmatch(cell)
    if match is None:
        raise ValueError(f"'{cell}' is not of the form b1_l32 or b1_real")
    return int(match[1]), int(match[2] or 0)


def describe_length(cell: str) -> str:
    """A cell's length in words: ``length 32`` or ``real lengths``."""
    length = split_cell(cell)[1]
    return f"length {length}" if length else "real lengths"


def latency_cell(cells: Sequence[str] | set[str]) -> str | None:
    """The cell that latencies are reported at: the smallest batch size at the smallest length.

    Real lengths come before every number of tokens.
    """
    return min(cells, key=lambda cell: split_cell(cell)[::-1], default=None)


def throughput_cell(cells: Sequence[str] | set[str]) -> str | None:
    """The cell that throughputs are reported at: as for latencies, with the largest batch size."""
    return min(cells, key=lambda cell: (split_cell(cell)[1], -split_cell(cell)[0]), default=None)
