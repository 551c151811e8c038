"""Prediction from a bundle with numpy, tokenizers and onnxruntime: no torch, no transformers.

Example:
    >>> from distill.runtime import load
    >>> load("runs/sst2").predict(["a fine film"])  # doctest: +SKIP
"""

from distill.runtime.classifier import Classifier, load

__all__ = ["Classifier", "load"]
