"""Transformers folder, ONNX and the bundle."""
