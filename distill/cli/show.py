"""``distill show``: a recipe with everything filled in."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer

from distill.cli import options
from distill.recipe.loader import load_recipe, resolved, resolved_yaml


def show(
    recipe: options.Recipe,
    overrides: options.Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Print a recipe with its base merged, overrides laid over it and every default filled in.

    What is printed is a recipe again.

    Example:
      distill show quickstart
      distill show sst2 student.size=3x384 > mine.yaml
    """
    loaded = load_recipe(recipe, *(overrides or []))
    if as_json:
        typer.echo(json.dumps(resolved(loaded), indent=2, ensure_ascii=False))
        return
    typer.echo(resolved_yaml(loaded), nl=False)
    # A comment, so that the output stays a recipe.
    typer.echo(f"# next: {shlex.join(['distill', 'plan', recipe, *(overrides or [])])}")
