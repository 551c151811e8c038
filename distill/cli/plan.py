"""``distill plan``: what a run would do and what its models weigh; with --measure, how long."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated, Any

import typer

from distill.cli import options
from distill.pipeline.plan import make_plan
from distill.recipe.loader import load_recipe
from distill.recipe.schema import Candidate, Recipe
from distill.recipe.schema.study import Range
from distill.recipe.study import LoadedStudy, is_study, load_study
from distill.report.numbers import align
from distill.report.plan import plan_lines
from distill.system.errors import UserError
from distill.system.processor import physical_cores, processor


def plan(
    recipe: options.Recipe,
    overrides: options.Overrides = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time some real steps of every training here.")
    ] = False,
    as_json: options.Json = False,
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
        study = load_study(*words)
        _print(_study_object(study), _study_lines(study), ["study", *words], as_json=as_json)
        return
    loaded = load_recipe(recipe, *(overrides or []))
    content = make_plan(loaded)
    if measure:
        content["measured"] = _measured(loaded)
    command = "run" if loaded.seeds is None else "study"
    _print(content, plan_lines(content), [command, *words], as_json=as_json)


def _print(content: Any, lines: list[str], after: list[str], *, as_json: bool) -> None:
    if as_json:
        options.print_json(content)
        return
    for line in [*lines, f"next: {shlex.join(['distill', *after])}"]:
        typer.echo(line)


def _measured(recipe: Recipe) -> dict[str, Any]:
    from distill.pipeline.measure import MEASURED_STEPS, measure

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


def _study_lines(loaded: LoadedStudy) -> list[str]:
    """A study's trials with the stages that each does, and the variants that are skipped."""
    rows = [["trial", "stages"]]
    for trial in loaded.trials:
        rows.append([trial.name, ", ".join(stage.name for stage in trial.planned())])
    search = loaded.config.search
    if search is not None:
        over = "of candidates:" if search.candidates else "over:"
        rows.append([f"up to {search.trials} of the search ({search.strategy})", over])
        rows += [[f"  {key}", _candidate_text(one)] for key, one in search.candidates.items()]
        rows += [[f"  {key}", _range_text(one)] for key, one in search.space.items()]
        rows += [[f"  {k}", f"budget {low} to {high}"] for k, (low, high) in search.budget.items()]
    skipped = [f"skipped: {name}: {why}" for name, why in loaded.skipped.items()]
    trials = len(loaded.trials) + (search.trials if search else 0)
    count = f"{trials} trials; stages that several of them share are done once"
    return [*align(rows), *skipped, count]


def _candidate_text(one: Candidate) -> str:
    told = one.predicted.model_dump(exclude_none=True)
    words = ", ".join(f"{key} {value:g}" for key, value in told.items())
    place = "in the place of a larger one; " if one.reserve else ""
    return f"{place}predicted: {words or 'nothing'}"


def _range_text(one: Range) -> str:
    values = ", ".join(map(str, getattr(one, one.kind)))
    conditions = ", ".join(f"{key} is {value}" for key, value in one.when.items())
    return f"{one.kind} {values}{f' (only where {conditions})' if conditions else ''}"


def _study_object(loaded: LoadedStudy) -> dict[str, Any]:
    trials = [
        {"variant": t.variant, "task": t.task, "seed": t.seed, "stages": [s.name for s in stages]}
        for t in loaded.trials
        if (stages := t.planned())
    ]
    found = {"name": loaded.config.name, "trials": trials, "skipped": loaded.skipped}
    search = loaded.config.search
    return found | ({"search": search.model_dump(mode="json")} if search is not None else {})
