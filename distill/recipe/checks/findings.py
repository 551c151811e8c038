"""What a check yields: where in the recipe, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from distill.recipe.yaml_lines import Loc

Findings = Iterator[tuple[Loc, str]]
