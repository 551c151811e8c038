"""Whitening: sentence vectors turned so that no few directions rule them.

Vectors of a BERT lie in a narrow cone, so that any two of them look alike. Whitening moves their
mean to 0 and makes their covariance the identity; keeping the first directions only makes them
shorter too.

Legend: N vectors, D their width, K the width that is kept.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.system.atomic import write_bytes
from distill.system.errors import DataError, ModelError

Vectors = npt.NDArray[np.float32]

#: The file of a bundle that holds it.
WHITENING = "whitening.npz"
#: Eigenvalues below this share of the largest one are noise, which would be blown up.
_LEAST = 1e-8


@dataclass(frozen=True)
class Whitening:
    r"""The map :math:`x \mapsto (x - \mu) W`.

    Args:
        mean: :math:`\mu`, (D,).
        kernel: :math:`W`, (D, K).

    Reference:
        Su et al. 2021, Whitening Sentence Representations for Better Semantics and Faster
        Retrieval, algorithm 1.
    """

    mean: npt.NDArray[np.float32]
    kernel: npt.NDArray[np.float32]

    @property
    def dimensions(self) -> int:
        """K."""
        return int(self.kernel.shape[1])

    def __call__(self, vectors: npt.NDArray[np.floating[Any]]) -> Vectors:
        """Whiten (N, D) vectors to (N, K)."""
        moved = (vectors - self.mean).astype(np.float32)  # (N, D)
        return np.asarray(moved @ self.kernel, dtype=np.float32)

    def write(self, path: Path) -> None:
        """Write both arrays as ``.npz``; nothing in it is unpickled."""
        buffer = io.BytesIO()
        np.savez(buffer, mean=self.mean, kernel=self.kernel)
        write_bytes(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> Whitening:
        """What :meth:`write` wrote.

        Raises:
            ModelError: the file is missing or not such a file.
        """
        arrays = read_arrays(path, ("mean", "kernel"))
        mean, kernel = arrays["mean"], arrays["kernel"]
        if mean.ndim != 1 or kernel.ndim != 2 or kernel.shape[0] != mean.shape[0]:
            raise ModelError(f"{path}: not a whitening (shapes {mean.shape} and {kernel.shape})")
        return cls(mean, kernel)


def read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[np.float32]]:
    """Arrays of an ``.npz`` file, in fp32.

    Raises:
        ModelError: the file is missing, not such a file, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: np.asarray(content[name], dtype=np.float32) for name in names}
    except FileNotFoundError:
        raise ModelError(f"{path}: missing from the bundle; copy the whole folder again") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: not readable ({error}); copy the bundle again") from error


def fit_whitening(vectors: npt.NDArray[np.floating[Any]], dimensions: int) -> Whitening:
    r"""The whitening of vectors like these.

    With :math:`\Sigma = U \Lambda U^T` the covariance, :math:`W = U \Lambda^{-1/2}`, of which the
    K columns with the largest eigenvalues are kept.

    Args:
        vectors: (N, D), more than D of them to mean something.
        dimensions: K.

    Raises:
        DataError: K is more than D, or the vectors do not span so many dimensions.
    """
    count, width = vectors.shape
    if not 1 <= dimensions <= width:
        raise DataError(
            f"task.whitening: {dimensions} dimensions of vectors that have {width}; write "
            f"{width} or fewer"
        )
    exact = vectors.astype(np.float64)
    mean = exact.mean(axis=0)  # (D,)
    centred = exact - mean  # (N, D)
    values, axes = np.linalg.eigh(centred.T @ centred / max(1, count))  # ascending: (D,), (D, D)
    values, axes = values[::-1][:dimensions], axes[:, ::-1][:, :dimensions]
    spanned = int((values > _LEAST * max(float(values[0]), 1e-300)).sum())
    if spanned < dimensions:
        raise DataError(
            f"task.whitening: {dimensions} dimensions, but the {count:,} training vectors span "
            f"only {spanned}; write {spanned} or fewer, or give more texts"
        )
    # The sign of an axis is the library's whim: the largest entry is made positive.
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(dimensions)])
    kernel = axes / np.sqrt(values)  # (D, K)
    return Whitening(mean.astype(np.float32), kernel.astype(np.float32))
