"""The sizes of students are those of the recipe's room."""

from __future__ import annotations

from distill.recipe import sizes as light
from students import sizes


def test_sizes_are_the_recipes() -> None:
    assert sizes.resolve_size is light.resolve_size
    assert sizes.Size is light.Size
