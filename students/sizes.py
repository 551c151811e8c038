"""Sizes of students by name: the same as :mod:`distill.recipe.sizes`, which needs no torch."""

from distill.recipe.sizes import Size, resolve_size

__all__ = ["Size", "resolve_size"]
