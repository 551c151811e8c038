"""The vectors of a job as one ``.npy``, which grows by a window at a time.

The format's header tells the number of rows, which is known at the end only. It says none while
the file grows, and is written again when it is whole. Who reads it maps it into memory:
``numpy.load(path, mmap_mode="r")``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.lib import format as npy

from distill.system.errors import DataError

if TYPE_CHECKING:
    from distill.runtime.job_facts import Predictor

# Legend: N rows, K width of a vector.


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

    def __init__(self, out: Path, model: Predictor) -> None:
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
        with path.open("r+b") as file:
            if rows:
                npy.read_magic(file)
                width = npy.read_array_header_1_0(file)[0][1]
            else:  # nothing was written yet
                width = self._model.encode([""]).shape[1]
            file.seek(0)
            file.write(header(rows, width))
            file.flush()
            os.fsync(file.fileno())


def header(rows: int, width: int) -> bytes:
    """The beginning of an ``.npy`` file of float32 (N, K); as long whatever the number of rows.

    Reference:
        NEP 1, a simple file format for NumPy arrays, format version 1.0.
    """
    told = io.BytesIO()
    what = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    npy.write_array_header_1_0(told, what)  # leaves room for the first number to grow
    return told.getvalue()
