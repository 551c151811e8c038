"""Run folders, the order of stages, and resume."""
