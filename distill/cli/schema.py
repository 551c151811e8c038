"""``distill schema``: the JSON schema of a recipe."""

from __future__ import annotations

import json

import typer

from distill.recipe.schema import json_schema


def schema() -> None:
    """Print the JSON schema of a recipe, for editors that complete and check YAML.

    With the YAML language server, write this as a recipe's first line:
    # yaml-language-server: $schema=recipe.schema.json

    Example:
      distill schema > recipe.schema.json
    """
    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
