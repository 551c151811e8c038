"""Prediction from a bundle with numpy, tokenizers and onnxruntime: no torch, no transformers.

Example:
    >>> from distill.runtime import load
    >>> load("runs/sst2").predict(["a fine film"])  # doctest: +SKIP
"""

from __future__ import annotations

from pathlib import Path

from distill.runtime.manifest import read_manifest
from distill.runtime.model import BundleModel
from distill.runtime.udf import BatchPredictor

__all__ = ["BatchPredictor", "BundleModel", "load"]


def load(
    folder: str | Path,
    *,
    format: str | None = None,
    threads: int | None = None,
    verify: bool = False,
    dim: int | None = None,
    prompt: str | None = None,
) -> BundleModel:
    """Load a bundle for prediction; needs numpy, tokenizers and onnxruntime (or openvino) only.

    Args:
        folder: a bundle, or the folder of a finished run.
        format: ``onnx-int8``, ``onnx``, ``openvino-int8``, ...; ``None`` takes the tuned one, else
            the bundle's default, else the next one whose engine is installed.
        threads: threads of one call; ``None`` takes the tuned number, else all physical cores.
        verify: compare every file with its recorded SHA-256 first (sizes are always compared).
        dim: of a sentence encoder, to how many dimensions its vectors are cut.
        prompt: of a sentence encoder, the name of the prompt before every text.

    Raises:
        ModelError: there is no bundle, it is not whole, it has no such format or prompt, or this
            version knows no such task.
        DataError: its vectors were not trained to be cut to ``dim``.
        UserError: no engine for the bundle's formats is installed.
    """
    manifest = read_manifest(Path(folder))
    if verify:
        manifest.verify()
    return BundleModel(manifest, format=format, threads=threads, dim=dim, prompt=prompt)
