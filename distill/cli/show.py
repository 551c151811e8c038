"""``distill show``: a recipe with everything filled in."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer

from distill.cli import options
from distill.recipe.loader import load_recipe, resolved, resolved_yaml
from distill.recipe.study import is_study, load_study


def show(
    recipe: options.Recipe,
    overrides: options.Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Print a recipe with its base merged, overrides laid over it and every default filled in.

    What is printed is a recipe again; of a study it is the recipe of every trial.

    Example:
      distill show quickstart
      distill show sst2 student.size=3x384 > mine.yaml
    """
    if is_study(recipe):
        _show_study(recipe, overrides or [], as_json=as_json)
        return
    loaded = load_recipe(recipe, *(overrides or []))
    if as_json:
        typer.echo(json.dumps(resolved(loaded), indent=2, ensure_ascii=False))
        return
    typer.echo(resolved_yaml(loaded), nl=False)
    # A comment, so that the output stays a recipe.
    typer.echo(f"# next: {shlex.join(['distill', 'plan', recipe, *(overrides or [])])}")


def _show_study(study: str, overrides: list[str], *, as_json: bool) -> None:
    trials = load_study(study, *overrides).trials
    if as_json:
        recipes = {trial.folder: resolved(trial.recipe) for trial in trials}
        typer.echo(json.dumps(recipes, indent=2, ensure_ascii=False))
        return
    for trial in trials:
        typer.echo(
            f"--- # {trial.name}: up to {trial.stage}\n{resolved_yaml(trial.recipe)}", nl=False
        )
