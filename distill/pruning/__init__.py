"""Pruning: parts of a model taken away for good, by methods that a recipe names."""
