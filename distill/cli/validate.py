"""``distill validate``: every issue of a recipe at once."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer

from distill.cli import options
from distill.recipe.inputs import missing_inputs
from distill.recipe.loader import read_recipe
from distill.recipe.study import is_study, load_study
from distill.system.errors import Issue, RecipeError


def validate(
    recipe: options.Recipe,
    overrides: options.Overrides = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the issues as a list of objects.")
    ] = False,
) -> None:
    """Check a recipe or a study, and that the files and folders it names are there.

    Every error is printed at once, each with its file and line; the exit code is then 2.

    Example:
      distill validate quickstart
      distill validate mine.yaml student.size=3x384 --json
    """
    issues = _issues(recipe, overrides or [])
    if as_json:
        typer.echo(json.dumps([_plain(issue) for issue in issues], indent=2, ensure_ascii=False))
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
        loaded = read_recipe(recipe, *overrides)
        if loaded.recipe.seeds is not None:
            load_study(recipe, *overrides)
    except RecipeError as error:
        return error.issues
    return [loaded.issue(loc, message) for loc, message in missing_inputs(loaded.recipe)]


def _plain(issue: Issue) -> dict[str, str | int | None]:
    return {
        "file": None if issue.path is None else str(issue.path),
        "line": issue.line,
        "where": issue.where,
        "message": issue.message,
    }
