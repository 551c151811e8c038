"""Prediction from a bundle with numpy, tokenizers and onnxruntime: no torch, no transformers.

Example:
    >>> from distill.runtime import load
    >>> load("runs/sst2").predict(["a fine film"])  # doctest: +SKIP
"""

from distill.runtime.loading import load
from distill.runtime.model import BundleModel

__all__ = ["BundleModel", "load"]
