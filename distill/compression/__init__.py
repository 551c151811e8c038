"""Pruning and quantisation."""
