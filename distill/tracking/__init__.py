"""Curves and results: CSV and W&B."""
