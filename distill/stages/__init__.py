"""Stages: one file per kind."""
