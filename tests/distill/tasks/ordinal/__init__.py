"""Ordinal regression: labels that stand in an order. A kind of task outside the package."""
