"""Floors: what a task scores without a neural network, fitted on the same rows in seconds."""
