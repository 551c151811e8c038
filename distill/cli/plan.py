"""``distill plan``: what a run would do and what its models weigh; with --measure, how long."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any

import typer

from distill.cli import options
from distill.pipeline.plan import make_plan
from distill.recipe.loader import load_recipe
from distill.recipe.schema import Recipe
from distill.report.plan import plan_lines


def plan(
    recipe: options.Recipe,
    overrides: options.Overrides = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time some real steps of every training here.")
    ] = False,
    as_json: options.AsObject = False,
) -> None:
    """Show a run's stages, layer map, and the parameters and MACs of its models.

    Nothing is trained or written. With --measure some steps of every training stage are done in a
    temporary folder, and its time is that of one step times their number.

    Example:
      distill plan quickstart
      distill plan sst2 teacher.model=minilm-l6 student.size=3x384 --measure
    """
    loaded = load_recipe(recipe, *(overrides or []))
    content = make_plan(loaded)
    if measure:
        content["measured"] = _measured(loaded)
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    for line in plan_lines(content):
        typer.echo(line)
    typer.echo(f"next: {shlex.join(['distill', 'run', recipe, *(overrides or [])])}")


def _measured(recipe: Recipe) -> dict[str, Any]:
    from dataclasses import asdict

    from distill.evaluation.machine import physical_cores
    from distill.pipeline.measure import MEASURED_STEPS, measure
    from distill.processor import processor

    rows, times = measure(recipe)
    threads = recipe.trainer.threads or physical_cores()
    return {
        "rows": rows,
        "measured_steps": MEASURED_STEPS,
        "machine": f"{processor().name}, {threads} threads",
        "stages": {
            name: asdict(time) | {"seconds": round(time.seconds, 1)} for name, time in times.items()
        },
    }
