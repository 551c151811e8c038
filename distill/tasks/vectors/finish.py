"""What becomes of a sentence encoder's vectors behind its graph.

Legend: N texts, D width of the model's vectors, K of those that are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.system.errors import DataError
from distill.tasks.decoder import unit
from distill.tasks.vectors.whitening import Vectors, Whitening


class Finish:
    """What becomes of the graph's vectors: length 1, whitening, a cut, and length 1 again.

    Args:
        normalize: whether they get length 1.
        whitening: what whitens them; ``None`` for nothing.
        widths: to how many dimensions they may be cut.
    """

    def __init__(
        self, *, normalize: bool, whitening: Whitening | None = None, widths: Sequence[int] = ()
    ) -> None:
        self.normalize = normalize
        self.whitening = whitening
        self.widths = tuple(widths)

    @classmethod
    def of(cls, folder: Path, settings: Mapping[str, Any]) -> Finish:
        """What a bundle says of its vectors.

        Args:
            folder: the bundle.
            settings: its ``normalize``, and ``whitening`` with the name of the ``file``.

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
        if self.whitening is not None and 0 < dim <= self.whitening.dimensions:
            return  # the directions with the most variance come first
        if dim in self.widths:
            return
        made = ", ".join(map(str, self.widths))
        raise DataError(
            f"dim is {dim}, to which this bundle's vectors were not trained to be cut; "
            + (f"take one of {made}" if made else "train it with task.matryoshka, or leave it out")
        )

    def __call__(self, vectors: Vectors, *, whiten: bool = True, dim: int | None = None) -> Vectors:
        """(N, D) to (N, K).

        Args:
            vectors: as the graph gives them.
            whiten: whether they are whitened, where the bundle has a whitening.
            dim: K, the first so many dimensions; ``None`` keeps all.

        Raises:
            DataError: see :meth:`check`.
        """
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
