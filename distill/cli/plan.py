"""``distill plan``: what a run would do and what its models weigh; with --measure, how long."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any

import typer

from distill.cli import options
from distill.cli.study import plan_lines as study_lines
from distill.cli.study import plan_object
from distill.pipeline.plan import make_plan
from distill.recipe.loader import load_recipe
from distill.recipe.schema import Recipe
from distill.recipe.study import is_study, load_study
from distill.report.plan import plan_lines
from distill.system.errors import UserError


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
    words = [recipe, *(overrides or [])]
    if is_study(recipe):
        if measure:
            raise UserError("plan --measure: times one recipe; name a recipe in place of a study")
        _plan_study(words, as_json=as_json)
        return
    loaded = load_recipe(recipe, *(overrides or []))
    content = make_plan(loaded)
    if measure:
        content["measured"] = _measured(loaded)
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    for line in plan_lines(content):
        typer.echo(line)
    command = "run" if loaded.seeds is None else "study"
    typer.echo(f"next: {shlex.join(['distill', command, *words])}")


def _plan_study(words: list[str], *, as_json: bool) -> None:
    study = load_study(*words)
    if as_json:
        typer.echo(json.dumps(plan_object(study), indent=2, ensure_ascii=False))
        return
    for line in [*study_lines(study), f"next: {shlex.join(['distill', 'study', *words])}"]:
        typer.echo(line)


def _measured(recipe: Recipe) -> dict[str, Any]:
    from dataclasses import asdict

    from distill.pipeline.measure import MEASURED_STEPS, measure
    from distill.system.processor import physical_cores, processor

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
