"""Inference from a bundle without torch."""
