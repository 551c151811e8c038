"""Prediction from a bundle: texts in, labels with probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.errors import DataError, ModelError
from distill.runtime.encoding import TextEncoder
from distill.runtime.manifest import Manifest, read_manifest
from distill.runtime.session import OnnxSession

# Legend: N texts, B batch, L length, C classes.


class Classifier:
    """A bundle that is loaded and ready.

    Args:
        manifest: the bundle's description.
        format: the format to run; ``None`` takes the bundle's default.
        threads: threads of one call; ``None`` takes all physical cores.

    Raises:
        ModelError: the bundle is not whole, has no such format, or solves another task.
        UserError: ONNX Runtime is not installed.
    """

    def __init__(
        self, manifest: Manifest, *, format: str | None = None, threads: int | None = None
    ) -> None:
        if manifest.task != "classification":
            raise ModelError(
                f"{manifest.folder}: a bundle for {manifest.task}, not for classification"
            )
        self.manifest = manifest
        self.labels = manifest.labels
        self.format = format or manifest.default
        self._encoder = TextEncoder(
            manifest.folder, max_length=manifest.max_length, pad_id=manifest.pad_id
        )
        self._session = OnnxSession(manifest.file(format), threads)

    def logits(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, batch_size: int = 32
    ) -> npt.NDArray[np.float32]:
        """Compute logits; rows of like length share a batch, so that little is padded.

        Args:
            texts: N texts.
            pairs: the N second texts, where the model takes pairs.
            batch_size: rows computed at once.

        Returns:
            (N, C) logits in the order of the texts.

        Raises:
            DataError: the texts are not a list of strings, or pairs are missing, too many, or given
                to a model of single texts.
        """
        self._check(texts, pairs)
        if batch_size < 1:
            raise DataError(f"batch_size is {batch_size}; it must be 1 or more")
        out = np.zeros((len(texts), len(self.labels)), dtype=np.float32)  # (N, C)
        if not len(texts):
            return out
        rows = self._encoder.encode(texts, pairs)
        order = np.argsort([len(row) for row in rows], kind="stable")
        for start in range(0, len(rows), batch_size):
            chosen = order[start : start + batch_size]
            batch = self._encoder.batch([rows[index] for index in chosen])  # (B, L) each
            out[chosen] = self._session.run(*batch)
        return out

    def predict(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, batch_size: int = 32
    ) -> list[dict[str, Any]]:
        """Predict the label of every text.

        Args:
            texts: N texts.
            pairs: the N second texts, where the model takes pairs.
            batch_size: rows computed at once.

        Returns:
            Per text ``{"label": name, "probabilities": {name: p}}``, in the order of the texts.

        Raises:
            DataError: see :meth:`logits`.

        Example:
            >>> classifier = load("runs/sst2")  # doctest: +SKIP
            >>> classifier.predict(["a fine film"])[0]["label"]  # doctest: +SKIP
            'positive'
        """
        shares = softmax(self.logits(texts, pairs, batch_size=batch_size))  # (N, C)
        return [
            {
                "label": self.labels[int(row.argmax())],
                "probabilities": dict(zip(self.labels, row.tolist(), strict=True)),
            }
            for row in shares
        ]

    def _check(self, texts: Sequence[str], pairs: Sequence[str] | None) -> None:
        for name, given in (("texts", texts), ("pairs", pairs)):
            if given is None:
                continue
            if isinstance(given, str):
                raise DataError(f"{name} is one string; give a list of strings")
            for index, text in enumerate(given):
                if not isinstance(text, str):
                    raise DataError(f"{name}[{index}] is a {type(text).__name__}, not a string")
        if self.manifest.pair and pairs is None:
            raise DataError("this model compares two texts; give the second ones as pairs")
        if pairs is not None:
            if not self.manifest.pair:
                raise DataError("this model takes single texts; leave the pairs out")
            if len(pairs) != len(texts):
                raise DataError(
                    f"{len(texts)} texts but {len(pairs)} pairs; one for each is needed"
                )


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Probabilities (N, C) of logits (N, C), in double precision."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True, initial=-np.inf)
    grown = np.exp(shifted)
    shares: npt.NDArray[np.float64] = grown / grown.sum(axis=-1, keepdims=True)
    return shares


def load(
    folder: str | Path,
    *,
    format: str | None = None,
    threads: int | None = None,
    verify: bool = False,
) -> Classifier:
    """Load a bundle for prediction; needs numpy, tokenizers and onnxruntime only.

    Args:
        folder: a bundle, or the folder of a finished run.
        format: ``onnx-int8`` or ``onnx``; ``None`` takes the bundle's default.
        threads: threads of one call; ``None`` takes all physical cores.
        verify: compare every file with its recorded SHA-256 first (sizes are always compared).

    Raises:
        ModelError: there is no bundle, it is not whole, or it has no such format.
        UserError: ONNX Runtime is not installed.
    """
    manifest = read_manifest(Path(folder))
    if verify:
        manifest.verify()
    return Classifier(manifest, format=format, threads=threads)
