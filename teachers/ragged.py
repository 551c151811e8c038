"""Logits of a data set in one array, also where a row has one set of them for each of its tokens.

Legend: N rows, B batch, L length, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]


class RaggedLogits:
    """Logits token by token, of rows that differ in length.

    Args:
        flat: (sum of lengths, C), row after row; may be memory-mapped.
        lengths: tokens of each row, of shape (N,).
    """

    def __init__(self, flat: Floats, lengths: npt.NDArray[np.integer]) -> None:
        self.flat = flat
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(self.lengths)])

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, longest L, C)."""
        return len(self), int(self.lengths.max(initial=0)), int(self.flat.shape[1])

    def __getitem__(self, rows: npt.NDArray[np.integer]) -> Floats:
        """The rows with these numbers, padded with zeros to the longest of them: (B, L, C)."""
        found = np.zeros((len(rows), int(self.lengths[rows].max()), self.shape[2]), np.float32)
        for place, row in enumerate(rows):
            start, end = self._offsets[row], self._offsets[row + 1]
            found[place, : end - start] = self.flat[start:end]
        return found

    def with_flat(self, flat: Floats) -> RaggedLogits:
        """Other logits of the same rows."""
        return RaggedLogits(flat, self.lengths)


#: (N, C), or token by token.
TeacherLogits = npt.NDArray[np.float32] | RaggedLogits


def look_up(logits: TeacherLogits, batch: Mapping[str, Tensor]) -> Tensor:
    """The logits of a batch's rows.

    Args:
        logits: of all rows.
        batch: ``index``, the rows' numbers, (B,), and ``input_ids``, (B, L).

    Returns:
        (B, C), or (B, L, C) with zeros at padding.
    """
    found = logits[batch["index"].cpu().numpy()]
    if isinstance(logits, RaggedLogits):
        longer = batch["input_ids"].shape[1] - found.shape[1]
        found = np.pad(found, ((0, 0), (0, longer), (0, 0)))  # (B, L, C)
    return torch.from_numpy(np.array(found))
