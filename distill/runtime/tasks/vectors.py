"""A vector for each text, and what is built on vectors: similarities and a classifier.

Legend: N texts, D width of the model's vectors, K of those that are given, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distill.errors import DataError
from distill.runtime.manifest import Manifest
from distill.runtime.model import BundleModel
from distill.runtime.tasks.classification import Classifier
from distill.runtime.whitening import Whitening, read_arrays

Vectors = npt.NDArray[np.float32]

_SHOWN = 4


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


class VectorModel(BundleModel):
    """A sentence encoder's bundle; see :class:`~distill.runtime.model.BundleModel`."""

    task: ClassVar[str] = "vectors"

    def __init__(
        self, manifest: Manifest, *, format: str | None = None, threads: int | None = None
    ) -> None:
        super().__init__(manifest, format=format, threads=threads)
        self.finish = Finish.of(manifest.folder, manifest.settings)

    @cached_property
    def outputs(self) -> int:
        """D, the width of the graph's vectors: that of one for an empty text."""
        return int(self.run(self.encoder.encode([""]))[0].shape[-1])

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        instances: int | None = None,
        whiten: bool = True,
    ) -> Vectors:
        """A vector for every text.

        Args:
            texts: N texts.
            batch_size: rows computed at once; see :meth:`BundleModel.logits`.
            instances: batches computed at the same time; see :meth:`BundleModel.logits`.
            whiten: whether vectors are whitened, where the bundle has a whitening.

        Returns:
            (N, K), of length 1 unless the recipe says otherwise.

        Raises:
            DataError: the texts are not a list of strings.

        Example:
            >>> load("runs/stsb-vectors").encode(["A man plays."]).shape  # doctest: +SKIP
            (1, 384)
        """
        raw = self.logits(texts, batch_size=batch_size, instances=instances)  # (N, D)
        return self.finish(raw, whiten=whiten)

    def similarity(
        self,
        texts: Sequence[str],
        pairs: Sequence[str],
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> npt.NDArray[np.float32]:
        """The cosine between each text and the other one in its place.

        Args:
            texts: N texts.
            pairs: N others.
            batch_size: rows computed at once; see :meth:`BundleModel.logits`.
            instances: batches computed at the same time; see :meth:`BundleModel.logits`.

        Returns:
            (N,), from -1 to 1.

        Raises:
            DataError: not as many of both, or they are not lists of strings.
        """
        self._check(texts, None)
        self._check(pairs, None)
        if len(pairs) != len(texts):
            raise DataError(f"{len(texts)} texts but {len(pairs)} pairs; one for each is needed")
        # Together, so that a text that stands there often is computed with others of its length.
        both = [*texts, *pairs]
        vectors = unit(self.encode(both, batch_size=batch_size, instances=instances))
        return np.asarray((vectors[: len(texts)] * vectors[len(texts) :]).sum(axis=1))

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[dict[str, Any]]:
        """Give the vector of every text; see :meth:`BundleModel.predict`.

        Returns:
            Per text ``{"vector": [...]}``.

        Raises:
            DataError: there are pairs; see :meth:`similarity`.
        """
        self._check(texts, pairs)
        vectors = self.encode(texts, batch_size=batch_size, instances=instances)
        return [{"vector": row.tolist()} for row in vectors]

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``[0.021 -0.043 0.008 0.110 ... 384]``."""
        vector = prediction["vector"]
        shown = " ".join(f"{number:.3f}" for number in vector[:_SHOWN])
        return f"[{shown} ... {len(vector)}]"


class VectorClassifier(Classifier):
    """A classifier of vectors: a sentence encoder's bundle with a linear head beside it.

    ``logits = v W + b`` with v the vector that the sentence encoder gives.
    """

    def __init__(
        self, manifest: Manifest, *, format: str | None = None, threads: int | None = None
    ) -> None:
        super().__init__(manifest, format=format, threads=threads)
        self.finish = Finish.of(manifest.folder, manifest.settings["vectors"])
        head = read_arrays(
            manifest.folder / str(manifest.settings["head"]["file"]), ("weight", "bias")
        )
        self.weight, self.bias = head["weight"], head["bias"]  # (K, C), (C,)

    def logits(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> npt.NDArray[np.float32]:
        """Logits (N, C); see :meth:`BundleModel.logits`."""
        raw = super().logits(texts, pairs, batch_size=batch_size, instances=instances)
        if not len(raw):
            return raw
        return np.asarray(self.finish(raw) @ self.weight + self.bias, dtype=np.float32)


def unit(vectors: Vectors) -> Vectors:
    """Vectors (N, D) of length 1; one of length 0 stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
