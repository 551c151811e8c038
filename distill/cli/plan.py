"""``distill plan``: what a run would do and cost, without doing it."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer

from distill.pipeline.plan import make_plan
from distill.recipe.loader import load_recipe
from distill.report.plan import plan_lines


def plan(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name (see `distill ls`) or a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings such as student.size=3x384.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Tell a run's stages, layer map, sizes, and about how long and how large it will be.

    Nothing is trained, loaded or written. Times are estimates from multiply-accumulates.

    Example:
      distill plan quickstart
      distill plan sst2 teacher.model=minilm-l6 student.size=3x384
    """
    loaded = load_recipe(recipe, *(overrides or []))
    content = make_plan(loaded)
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    for line in plan_lines(content):
        typer.echo(line)
    typer.echo(f"next: {shlex.join(['distill', 'run', recipe, *(overrides or [])])}")
