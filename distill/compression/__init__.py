"""Int8 quantisation of a trained model: dynamic, static, weights alone, and trained for it."""
