"""The vectors of a job as one ``.npy``, which grows by a window at a time.

The format's header tells the number of rows, which is known at the end only. So it has a fixed
length here, stands for no rows while the file grows, and is written again when it is whole. Who
reads it maps it into memory: ``numpy.load(path, mmap_mode="r")``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distill.errors import DataError

if TYPE_CHECKING:
    from distill.runtime.tasks.vectors import VectorModel

# Legend: N rows, K width of a vector.

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = 128


class VectorFile:
    """Turns rows into what an array of their vectors holds: float32 (N, K), in their order.

    Args:
        out: the file's name, which ends in ``.npy``.
        model: gives the vectors.

    Attributes:
        columns: ``None`` before the header is written, then empty: there is nothing to name.

    Raises:
        DataError: the name has another ending.
    """

    def __init__(self, out: Path, model: VectorModel) -> None:
        if out.suffix.lower() != ".npy":
            raise DataError(f"{out}: an array of vectors is a .npy file; name one")
        self._model = model
        self.columns: list[str] | None = None

    def content(self, texts: Sequence[str], *, batch_size: int | None) -> bytes:
        """The vectors of some texts as bytes; the first come with the header."""
        vectors = self._model.encode(texts, batch_size=batch_size)  # (n, K)
        head = b"" if self.columns is not None else header(0, vectors.shape[1])
        self.columns = []
        return head + vectors.astype("<f4").tobytes()

    def close(self, path: Path, rows: int) -> None:
        """Say in the header how many rows there are; doing it again changes nothing.

        Args:
            path: the file.
            rows: N.
        """
        if rows:
            width = (path.stat().st_size - _HEADER) // (4 * rows)
        else:
            width = self._model.encode([""]).shape[1]
        with path.open("r+b") as file:
            file.write(header(rows, width))
            file.flush()
            os.fsync(file.fileno())


def header(rows: int, width: int) -> bytes:
    """The first 128 bytes of an ``.npy`` file of float32 (N, K).

    Reference:
        NEP 1, a simple file format for NumPy arrays, format version 1.0.
    """
    told = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}"
    size = _HEADER - len(_MAGIC) - 2
    return _MAGIC + struct.pack("<H", size) + told.ljust(size - 1).encode("ascii") + b"\n"
