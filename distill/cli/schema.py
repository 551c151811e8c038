"""``distill schema``: the JSON schema of a recipe."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from distill.recipe.schema import study_schema
from distill.recipe.schema.recipe import file_schema


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
    content = study_schema() if study else file_schema()
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
