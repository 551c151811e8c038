"""``distill show``, ``validate`` and ``schema``: what a recipe says, and what it may say."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from distill.cli import options
from distill.recipe.inputs import missing_inputs
from distill.recipe.loader import load_recipe, read_recipe, resolved, resolved_yaml
from distill.recipe.schema import Study
from distill.recipe.schema.recipe import file_schema
from distill.recipe.study import is_study, load_study
from distill.system.errors import Issue, RecipeError


def show(
    recipe: options.Recipe, overrides: options.Overrides = None, as_json: options.Json = False
) -> None:
    """Print a recipe with its base merged, overrides laid over it and every default filled in.

    What is printed is a recipe again; of a study it is the recipe of every trial.

    Example:
      distill show quickstart
      distill show sst2 student.size=3x384 > mine.yaml
    """
    words = overrides or []
    if not is_study(recipe):
        loaded = load_recipe(recipe, *words)
        if as_json:
            options.print_json(resolved(loaded))
            return
        typer.echo(resolved_yaml(loaded), nl=False)
        # A comment, so that the output stays a recipe.
        typer.echo(f"# next: {shlex.join(['distill', 'plan', recipe, *words])}")
        return
    trials = load_study(recipe, *words).trials
    if as_json:
        options.print_json({trial.folder: resolved(trial.recipe) for trial in trials})
        return
    for trial in trials:
        header = f"--- # {trial.name}: up to {trial.stage}"
        typer.echo(f"{header}\n{resolved_yaml(trial.recipe)}", nl=False)


def validate(
    recipe: options.Recipe, overrides: options.Overrides = None, as_json: options.Json = False
) -> None:
    """Check a recipe or a study, and that the files and folders it names are there.

    Every error is printed at once, each with its file and line; the exit code is then 2.

    Example:
      distill validate quickstart
      distill validate mine.yaml student.size=3x384 --json
    """
    issues = _issues(recipe, overrides or [])
    if as_json:
        options.print_json([_plain(issue) for issue in issues])
        if issues:
            raise typer.Exit(2)
        return
    if issues:
        raise RecipeError(issues)
    typer.echo(f"{recipe}: no errors")
    typer.echo(f"next: {shlex.join(['distill', 'plan', recipe, *(overrides or [])])}")


def _issues(recipe: str, overrides: list[str]) -> list[Issue]:
    try:
        if is_study(recipe):
            load_study(recipe, *overrides, check_files=True)
            return []
        loaded, tree = read_recipe(recipe, *overrides)
        if loaded.seeds is not None:
            load_study(recipe, *overrides)
    except RecipeError as error:
        return error.issues
    return [tree.issue(loc, message) for loc, message in missing_inputs(loaded)]


def _plain(issue: Issue) -> dict[str, str | int | None]:
    found = asdict(issue)
    path = found.pop("path")
    return {"file": None if path is None else str(path), **found}


def schema(
    study: Annotated[
        bool, typer.Option("--study", help="The schema of a study file instead.")
    ] = False,
) -> None:
    """Print the JSON schema of a recipe, for editors that complete and check YAML.

    With the YAML language server, write this as a recipe's first line:
    # yaml-language-server: $schema=recipe.schema.json

    Example:
      distill schema > recipe.schema.json
    """
    options.print_json(Study.model_json_schema() if study else file_schema())
