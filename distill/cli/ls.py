"""``distill ls``: the built-in recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from distill.cli import options
from distill.recipe import catalog
from distill.recipe.overrides import read_tree
from distill.report.numbers import align


def ls(as_json: options.Json = False) -> None:
    """List the built-in recipes and studies: name, task, student, what each is for.

    Example:
      distill ls
      distill ls --json
    """
    rows = [_row(name, catalog.find(name)) for name in catalog.names()]
    if as_json:
        options.print_json(rows)
        return
    columns = ["name", "task", "student", "description"]
    table = [columns, *([row[column] for column in columns] for row in rows)]
    for line in align(table, words=len(columns)):
        typer.echo(line)
    typer.echo("next: distill show quickstart")


def _row(name: str, path: Path) -> dict[str, str]:
    recipe = read_tree(path).plain()
    return {
        "name": name,
        "task": "study" if "study" in recipe else _at(recipe, "task", "kind"),
        "teacher": _at(recipe, "teacher", "model") or "a file",
        "student": _at(recipe, "student", "size"),
        "description": _at(recipe, "description"),
    }


def _at(recipe: Any, *keys: str) -> str:
    for key in keys:
        recipe = recipe.get(key, "") if isinstance(recipe, dict) else ""
    return "" if recipe is None else str(recipe)
