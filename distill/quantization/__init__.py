"""Int8 quantisation of a trained model: one file for each method, and a way back."""
