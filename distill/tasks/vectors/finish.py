"""What becomes of a sentence encoder's vectors behind its graph: among it whitening.

Vectors of a BERT lie in a narrow cone, so that any two of them look alike. Whitening moves their
mean to 0 and makes their covariance the identity; keeping the first directions only makes them
shorter too.

Legend: N texts, D width of the model's vectors, K of those that are given.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.system.atomic import write_bytes
from distill.system.errors import DataError, ModelError
from distill.tasks.decoder import unit

Vectors = npt.NDArray[np.float32]

#: The file of a bundle that holds it.
WHITENING = "whitening.npz"
#: Eigenvalues below this share of the largest one are noise, which would be blown up.
_LEAST = 1e-8


@dataclass(frozen=True)
class Whitening:
    r"""The map :math:`x \mapsto (x - \mu) W`.

    Reference:
        Su et al. 2021, Whitening Sentence Representations for Better Semantics and Faster
        Retrieval, algorithm 1.
    """

    mean: npt.NDArray[np.float32]  # :math:`\mu`, (D,)
    kernel: npt.NDArray[np.float32]  # :math:`W`, (D, K)

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


@dataclass(frozen=True)
class Finish:
    """What becomes of the graph's vectors: length 1, whitening, a cut, and length 1 again."""

    normalize: bool
    whitening: Whitening | None = None
    widths: Sequence[int] = ()  # to which they may be cut

    @classmethod
    def of(cls, folder: Path, settings: Mapping[str, Any]) -> Finish:
        """What a bundle says of its vectors.

        Raises:
            ModelError: the whitening's file is missing or damaged.
        """
        entry = settings.get("whitening")
        whitening = None if entry is None else Whitening.read(folder / str(entry["file"]))
        return cls(
            normalize=bool(settings.get("normalize", True)),
            whitening=whitening,
            widths=settings.get("matryoshka", ()),
        )

    def check(self, dim: int) -> None:
        """Refuse a width that vectors were not made for.

        Raises:
            DataError: the vectors were not trained to be cut to it.
        """
        if self.whitening is not None and 0 < dim <= self.whitening.kernel.shape[1]:
            return  # the directions with the most variance come first
        if dim in self.widths:
            return
        made = ", ".join(map(str, self.widths))
        raise DataError(
            f"dim is {dim}, to which this bundle's vectors were not trained to be cut; "
            + (f"take one of {made}" if made else "train it with task.matryoshka, or leave it out")
        )

    def __call__(self, vectors: Vectors, *, whiten: bool = True, dim: int | None = None) -> Vectors:
        """(N, D) to (N, K); see :meth:`check`."""
        if dim is not None:
            self.check(dim)
        if self.normalize:
            vectors = unit(vectors)
        if self.whitening is not None and whiten:
            vectors = self.whitening(vectors)
        elif dim is None:
            return vectors
        vectors = vectors[:, :dim]
        return unit(vectors) if self.normalize else vectors
