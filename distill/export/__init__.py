"""Writing the final model: a transformers folder, ONNX, and the bundle that holds both."""
