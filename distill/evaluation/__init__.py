"""Score, speed and cost of a model."""
