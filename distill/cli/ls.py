"""``distill ls``: the recipes that come along."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from distill.recipe import catalog
from distill.recipe.merge import read_tree


def ls(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """List the recipes that come along: name, task, teacher, student and what each is for.

    Example:
      distill ls
      distill ls --json
    """
    rows = [_row(name) for name in catalog.names()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    columns = ["name", "task", "student", "description"]
    table = [columns, *([row[column] for column in columns] for row in rows)]
    widths = [max(len(line[at]) for line in table) for at in range(len(columns))]
    for line in table:
        typer.echo("  ".join(map(str.ljust, line, widths)).rstrip())
    typer.echo("next: distill show quickstart")


def _row(name: str) -> dict[str, str]:
    recipe = read_tree(catalog.find(name)).plain()
    return {
        "name": name,
        "task": _at(recipe, "task", "kind"),
        "teacher": _at(recipe, "teacher", "model"),
        "student": _at(recipe, "student", "size"),
        "description": _at(recipe, "description"),
    }


def _at(recipe: Any, *keys: str) -> str:
    for key in keys:
        recipe = recipe.get(key, "") if isinstance(recipe, dict) else ""
    return str(recipe)
