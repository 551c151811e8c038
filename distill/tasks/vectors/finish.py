"""What becomes of a sentence encoder's vectors behind its graph.

Legend: N texts, D width of the model's vectors, K of those that are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.tasks.decoder import unit
from distill.tasks.vectors.whitening import Vectors, Whitening


class Finish:
    """What becomes of the graph's vectors: length 1, whitening, and length 1 again.

    Args:
        normalize: whether they get length 1.
        whitening: what whitens them; ``None`` for nothing.
    """

    def __init__(self, *, normalize: bool, whitening: Whitening | None = None) -> None:
        self.normalize = normalize
        self.whitening = whitening

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
        return cls(normalize=bool(settings.get("normalize", True)), whitening=whitening)

    def __call__(self, vectors: Vectors, *, whiten: bool = True) -> Vectors:
        """(N, D) to (N, K).

        Args:
            vectors: as the graph gives them.
            whiten: whether they are whitened, where the bundle has a whitening.
        """
        if self.normalize:
            vectors = unit(vectors)
        if self.whitening is None or not whiten:
            return vectors
        vectors = self.whitening(vectors)
        return unit(vectors) if self.normalize else vectors
