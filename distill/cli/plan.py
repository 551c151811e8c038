"""``distill plan``: what a run would do and cost, without doing it."""

from __future__ import annotations

import json
import shlex

import typer

from distill.cli import options
from distill.pipeline.plan import make_plan
from distill.recipe.loader import load_recipe
from distill.report.plan import plan_lines


def plan(
    recipe: options.Recipe,
    overrides: options.Overrides = None,
    as_json: options.AsObject = False,
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
